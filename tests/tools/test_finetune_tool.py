import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.commands import evaluate
from msbreg_tf.errors import PreemptedError
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.networks.standardized import StandardizedConv2D
from tests.evaluation.keras_exports import save_keras_tiny

from .conftest import flags_of

QUICK = {"fraction": 0.02, "epochs": 2, "batch_size": 50}
QUICK |= {"classifier_lr": 0.1, "encoder_lr": 0.01}


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return save_keras_tiny(tmp_path_factory.mktemp("runs") / "first" / "export" / "12")


@pytest.fixture
def run_main(run_command, export, tmp_path):
    """Runs the command with a quick recipe and what is given; what it printed, and its results."""
    results = str(tmp_path / "results.jsonl")
    defaults = {"saved_model": export, "results": results, "cache_mb": 64, **QUICK}
    defaults["workdir"] = str(tmp_path / "finetune")

    def main(**others):
        printed = run_command(evaluate.command("finetune"), **(defaults | others))
        return printed, read_results(results)

    return main


def test_the_command_fine_tunes_an_encoder_with_our_own_layers(tmp_path):
    """A new process, where nobody has imported the layers that encoder.keras names."""
    export = tmp_path / "run" / "export" / "7"
    save_keras_tiny(export, convolution=StandardizedConv2D(6, 3, strides=2))
    command = [sys.executable, "-m", "tools.finetune", f"--saved_model={export}"]
    command += ["--fraction=0.02", "--epochs=1", "--batch_size=50", "--encoder_lr=0"]
    command += [f"--workdir={tmp_path}/finetune"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    top1, top5, frozen = read_results(str(tmp_path / "run" / "results.jsonl"))
    assert (top1["metric"], top5["metric"]) == ("top-1 %", "top-5 %")
    assert frozen["metric"] == "frozen probe top-1 %"
    assert 0 <= top1["value"] <= top5["value"] <= 100
    settings = FineTuneSettings(fraction=0.02, epochs=1, batch_size=50, encoder_lr=0.0)
    assert settings.protocol().items() <= top1["protocol"].items()
    assert top1["protocol"]["train_images"] == 100
    assert top1["protocol"]["network"] == "online encoder, frozen"
    assert "Fine-tuning on sample test: 1,000 images, trained on 100" in done.stdout
    assert f"{top1['value']:.2f}" in done.stdout


def test_a_stopped_run_continues_and_another_is_refused(run_main, tmp_path, monkeypatch):
    save = Checkpoints.save

    def stop_after_the_first(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return save(self, epoch)

    monkeypatch.setattr(Checkpoints, "save", stop_after_the_first)
    with pytest.raises(PreemptedError, match="continues after the last whole epoch"):
        run_main()
    monkeypatch.setattr(Checkpoints, "save", save)
    _, lines = run_main()
    assert len(lines) == 3
    epochs = (tmp_path / "finetune" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in epochs] == [1, 2]
    with pytest.raises(ValueError, match=r"--encoder_lr: 0\.01 there, 0\.1 now"):
        run_main(encoder_lr=0.1)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"workdir": None}, "--workdir is missing"),
        ({"saved_model": None}, "--saved_model is missing"),
        ({"fraction": 2.0}, "--fraction=2.0: expected a number, more than 0 and at most 1"),
        ({"image_size": 64}, "--image_size=64: the export is for 32 pixels"),
        ({"train_split": "val"}, "--dataset=sample has the splits train and test"),
    ],
)
def test_bad_input_is_one_line(run_main, others, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_main(**others)
    assert "\n" not in str(caught.value)


def test_an_export_without_a_keras_encoder(run_main, export, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(export, copy, ignore=shutil.ignore_patterns("encoder.keras"))
    with pytest.raises(ValueError, match=r"no encoder\.keras in it"):
        run_main(saved_model=str(copy))


def test_one_class_only(run_main, tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "images" / split / "cat"
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(tf.io.encode_png(np.zeros([40, 40, 3], np.uint8)).numpy())
    with pytest.raises(ValueError, match="all its 1 images are of one class"):
        run_main(dataset="folder", data_dir=str(tmp_path / "images"))


@pytest.mark.parametrize(
    ("name", "classifier_lr", "encoder_lr"), [("1pct", 2.0, 0.0), ("10pct", 0.25, 2.5e-4)]
)
def test_recipes_are_the_supplements_and_run_on_mock_data(
    run_main, name, classifier_lr, encoder_lr
):
    flags = flags_of(f"finetune_{name}")
    rates = float(flags["classifier_lr"]), float(flags["encoder_lr"])
    assert rates == (classifier_lr, encoder_lr)
    assert (flags["momentum"], flags["batch_size"]) == ("0.9", "1024")
    assert flags["dataset"] == f"imagenet2012_subset/{name}"
    with tfds.testing.mock_data(num_examples=12):  # all splits are equal
        _, lines = run_main(**{**flags, "epochs": 1, "fraction": 1.0})
    assert lines[0]["protocol"]["train_images"] == 12
    assert lines[0]["protocol"]["centre_crop"] == 0.875
    assert json.dumps(lines[0]["protocol"])
