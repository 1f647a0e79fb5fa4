"""Paths that can't work are refused before TensorFlow is imported, and nothing is left behind."""

import os
import subprocess
import sys

import pytest

from msbreg_tf.commands.paths import check_export, check_images, check_new_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Ends as soon as TensorFlow is imported, with a code of its own.
_TRAP = """
import runpy, sys
class Trap:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise SystemExit(77)
sys.meta_path.insert(0, Trap())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["msbreg_tf.train", "--dataset=folder", "--data_dir=/nope", "--workdir=new"],
         "--data_dir=/nope: no such folder"),
        (["msbreg_tf.train", "--dataset=folder", "--workdir=new"], "--data_dir is missing"),
        (["msbreg_tf.train"], "--workdir is missing"),
        (["msbreg_tf.train", "--workdir=pictures"], "--workdir=pictures: it holds other files"),
        (["msbreg_tf.train", "--workdir=new", "--init_from=/nope"], "--init_from=/nope: no such"),
        (["msbreg_tf.train", "--workdir=new", "--init_from=r.pth"], "r.pth: no such file"),
        (["msbreg_tf.train", "--workdir=new", "--init_from=pictures/cat.jpg"],
         "expected a run's export/<step>, or a file that ends in .safetensors, .pth"),
        (["msbreg_tf.train", "--workdir=new", "--init_from=r.pth", "--stem=cifar"],
         "files of torchvision and timm hold ResNets of --stem=imagenet"),
        (["tools.knn_eval", "--saved_model=/nope"], "--saved_model=/nope: no such folder"),
        (["tools.knn_eval", "--saved_model=pictures/cat.jpg"], "it is a file. Give the folder"),
        (["tools.knn_eval", "--saved_model=export", "--dataset=folder", "--data_dir=/nope"],
         "--data_dir=/nope: no such folder"),
        (["tools.knn_eval", "--saved_model=export", "--results=pictures"], "it is a folder"),
        (["tools.finetune", "--saved_model=export"], "--workdir is missing"),
        (["tools.finetune", "--saved_model=export", "--workdir=pictures"], "holds other files"),
        (["tools.finetune", "--saved_model=export", "--workdir=new", "--compare=scratch,r.pth"],
         "--compare=r.pth: no such file"),
        (["tools.finetune", "--saved_model=export", "--workdir=new", "--seeds=3"],
         "--seeds=3: it needs --compare, such as --compare=scratch"),
        (["tools.embed", "--saved_model=export", "--data_dir=/nope", "--output=a.npz"],
         "--data_dir=/nope: no such folder"),
        (["tools.convert", "--saved_model=/nope"], "--saved_model=/nope: no such folder"),
        (["tools.convert", "--saved_model=export"], "--to is missing"),
        (["tools.convert", "--saved_model=export", "--to=onnx"], "--output is missing"),
        (["tools.convert", "--saved_model=export", "--to=tflite", "--output=a.onnx"],
         "--output=a.onnx: expected a name that ends in .tflite"),
        (["tools.convert", "--saved_model=export", "--to=onnx", "--output=a.onnx",
          "--precision=int8"], "--precision=int8: --to=onnx has float32 only"),
        (["tools.convert", "--saved_model=export", "--to=tflite", "--output=a.tflite",
          "--data_dir=/nope"], "--data_dir=/nope: no such folder"),
        (["tools.embed", "--server=host:8501", "--data_dir=pictures", "--output=a.npz"],
         "--server=host:8501: expected http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME"),
        (["tools.embed", "--saved_model=export", "--data_dir=pictures", "--output=a.npz",
          "--shard=0/4"], "--shard=0/4: expected I/K with I from 1 to K"),
        (["tools.embed", "--merge", "--output=a.npz"], "no shards of it, such as a.shard-1-of-2"),
        (["tools.detect", "--weights=/nope"], "--weights=/nope: no such file"),
        (["tools.detect", "--weights=random", "--workdir=pictures"], "holds other files"),
        (["tools.detect", "--weights=random", "--workdir=new", "--python=/bin/true",
          "--data_dir=/nope"], "--data_dir=/nope: no such folder"),
        (["tools.report"], "--runs is missing"),
        (["tools.report", "--runs=pictures"], "--runs=pictures: no run.json in it"),
        (["tools.report", "--runs=pictures", "--output=a.txt"], "expected a name ending in .html"),
        (["tools.neighbours", "--saved_model=export", "--data_dir=pictures"], "--query is missing"),
        (["tools.neighbours", "--saved_model=export", "--data_dir=pictures", "--query=dog.jpg"],
         "--query=dog.jpg: no such file"),
        (["tools.neighbours", "--saved_model=export", "--data_dir=pictures", "--duplicates=0.9",
          "--output=a.png"], "--output=a.png: expected a name ending in .csv"),
        (["tools.quickstart", "--workdir=pictures"], "--workdir=pictures: it holds other files"),
        (["tools.sweep"], "--workdir is missing"),
        (["tools.sweep", "--workdir=pictures", "--grid=lambda_s=0"], "it holds other files"),
        (["tools.sweep", "--workdir=new", "--grid=lambda_s=0", "--dataset=folder",
          "--data_dir=/nope"], "--data_dir=/nope: no such folder"),
        (["tools.preview_views", "--dataset=folder", "--data_dir=/nope"], "no such folder"),
    ],
)  # fmt: skip
def test_refused_in_one_line_before_tensorflow_and_without_a_trace(tmp_path, arguments, message):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.jpg").touch()
    (tmp_path / "export").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _TRAP, *arguments],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["export", "pictures"]
    assert os.listdir(tmp_path / "pictures") == ["cat.jpg"]


def test_what_can_work_is_let_through(tmp_path):
    check_images("cifar10", "/to/be/downloaded")
    check_images("folder", str(tmp_path))
    check_export(str(tmp_path))
    check_new_file("results", str(tmp_path / "new" / "results.jsonl"))


def test_a_place_that_can_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    with pytest.raises(ValueError, match=rf"--results=.*: {tmp_path} can't be written. Name"):
        check_new_file("results", str(tmp_path / "deep" / "er" / "results.jsonl"))
