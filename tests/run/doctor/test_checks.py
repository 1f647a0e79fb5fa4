"""Every check, on a machine that is well and on one that has the fault it looks for."""

import os
import resource
import shutil
import subprocess
import sys
import time
import types

import pytest

from msbreg_tf.augment import resample
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.doctor import images, place, software, table
from msbreg_tf.run.doctor.finding import ATTENTION, FAILURE, OK, Subject, size

TINY = {"encoder_width": 4, "stem": "cifar", "batch_size": 16}


def subject(cache_dir="", **settings):
    return Subject(config_from_settings({**TINY, **settings}), cache_dir)


def test_every_row_is_a_check_with_a_name_of_its_own():
    names = [check.find.__name__ for check in table.CHECKS]
    assert len(names) == len(set(names))
    assert all(check.find.__doc__ for check in table.CHECKS)


@pytest.mark.parametrize(
    ("versions", "state", "says"),
    [
        (("2.15.1", "2.15.0", "0.23.0"), OK, "the classic stack; tensorflow-addons 0.23.0 is"),
        (("2.21.0", "2.21.0", None), OK, "the current stack, with Keras 2 as tf_keras"),
        (("2.21.0", "3.15.1", None), FAILURE, "uses Keras 3.15.1, and this package needs Keras 2"),
    ],
)
def test_the_stack(versions, state, says):
    finding = software.stack(*versions)
    assert finding.state == state
    assert says in finding.found


def test_this_tensorflow_is_found(monkeypatch):
    import tensorflow as tf

    finding = software.tensorflow(subject())
    assert finding.state == OK
    assert f"TensorFlow is {tf.__version__} with Keras 2." in finding.found
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    finding = software.tensorflow(subject())
    assert finding.state == FAILURE
    assert "can't be imported" in finding.found


def test_tensorboard(monkeypatch):
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: None)
    assert software.tensorboard(subject()).state == FAILURE
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: object())
    assert software.tensorboard(subject()).state == OK


@pytest.mark.parametrize(("value", "state"), [(None, OK), ("1", OK), ("0", ATTENTION)])
def test_onednn(monkeypatch, value, state):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if value:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    assert software.onednn(subject()).state == state


def test_bfloat16_is_that_of_the_views_products(monkeypatch):
    monkeypatch.setattr(resample, "fastest_product", lambda: "bfloat16")
    assert "has instructions" in software.bfloat16(subject()).found
    monkeypatch.setattr(resample, "fastest_product", lambda: "float32")
    assert "has no instructions" in software.bfloat16(subject()).found


@pytest.mark.parametrize(("flags", "state"), [("", OK), ("--tf_xla_auto_jit=2", ATTENTION)])
def test_xla(monkeypatch, flags, state):
    monkeypatch.setenv("TF_XLA_FLAGS", flags)
    assert software.xla(subject()).state == state


@pytest.mark.parametrize("name", ["file/run", "file/run/deeper"])
def test_a_workdir_that_can_not_be_written(tmp_path, name):
    (tmp_path / "file").write_text("")
    finding = place.workdir(subject(workdir=str(tmp_path / name)))
    assert finding.state == FAILURE
    assert "can't be written (Not a directory)" in finding.found


def test_a_workdir_on_a_disk_that_refuses(tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(30, "Read-only file system")

    assert place.workdir(subject(workdir=str(tmp_path / "new" / "run"))).state == OK
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(place.tempfile, "TemporaryFile", refuse)
    finding = place.workdir(subject(workdir=str(tmp_path / "new" / "run")))
    assert finding.state == FAILURE
    assert finding.found == f"{tmp_path} can't be written (Read-only file system)."


def test_a_workdir_of_others_is_bad_input(tmp_path):
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(ValueError, match=r"--workdir=.*holiday\.jpg"):
        place.workdir(subject(workdir=str(tmp_path)))


def free(monkeypatch, bytes_by_folder):
    """Makes disks of these sizes."""

    def usage(folder):
        return types.SimpleNamespace(free=bytes_by_folder[str(folder)])

    monkeypatch.setattr(shutil, "disk_usage", usage)


def test_the_disk_holds_one_checkpoint_more_than_are_kept(tmp_path, monkeypatch):
    """At the boundary, of sizes that are those of files, to a quarter."""
    asked = subject(workdir=str(tmp_path / "run"), keep_checkpoints=5)
    of = place.sizes(asked.config)
    needed = 6 * of.checkpoint + of.export + place._LOGS
    free(monkeypatch, {str(tmp_path): needed})
    finding = place.disk(asked)
    assert finding.state == OK
    assert f"6 checkpoints of {size(of.checkpoint)}" in finding.found
    free(monkeypatch, {str(tmp_path): needed - 1})
    finding = place.disk(asked)
    assert finding.state == FAILURE
    assert "--keep_checkpoints" in finding.remedy


def test_a_checkpoint_has_the_size_that_was_estimated(tmp_path):
    from msbreg_tf.files.checkpoints import Checkpoints
    from msbreg_tf.run.build import build_model, saved_state

    config = subject(encoder_width=16).config
    folder = Checkpoints(str(tmp_path), saved_state(build_model(config, 1))).save(1)
    on_disk = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    assert place.sizes(config).checkpoint == pytest.approx(on_disk, rel=0.05)


def test_the_cache_holds_a_million_features(tmp_path, monkeypatch):
    asked = subject(cache_dir=str(tmp_path / "cache"))
    assert place.sizes(asked.config).features == 4 * 32  # ResNet-18 of width 4
    free(monkeypatch, {str(tmp_path): 128 * 10**6})
    assert place.cache(asked).state == OK
    free(monkeypatch, {str(tmp_path): 128 * 10**6 - 1})
    assert place.cache(asked).state == ATTENTION
    assert place.cache(subject(cache_dir="")).state == OK


def test_few_open_files():
    """In a process that has the limit indeed."""
    code = (
        "from msbreg_tf.run.doctor import place;"
        "print(place.open_files(None).state, place.open_files(None).line())"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit, state in ((1023, ATTENTION), (1024, OK)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard)),
        )
        assert done.stdout.startswith(f"{state} ")
        assert f"{limit:,} files may be open at once." in done.stdout


@pytest.mark.parametrize(("busy", "state"), [(0.4, OK), (7.0, ATTENTION)])
def test_load(monkeypatch, busy, state):
    monkeypatch.setattr(os, "getloadavg", lambda: (busy, 0, 0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert place.load(subject()).state == state


@pytest.mark.parametrize(("year", "state"), [(2023, ATTENTION), (2024, OK)])
def test_a_wall_clock_that_was_never_set(monkeypatch, year, state):
    day = time.strptime(f"{year}-07-01", "%Y-%m-%d")
    monkeypatch.setattr(place.time, "localtime", lambda: day)
    finding = place.clock(subject())
    assert finding.state == state
    assert f"{year}-07-01" in finding.found


@pytest.mark.parametrize("step", [0.0, -1.0])
def test_a_monotonic_clock_that_stands_or_goes_back(monkeypatch, step):
    now = iter([100.0, 100.0 + step])
    monkeypatch.setattr(
        place, "time", types.SimpleNamespace(monotonic=lambda: next(now), sleep=lambda _: None)
    )
    finding = place.clock(subject())
    assert finding.state == ATTENTION
    assert "monotonic" in finding.found


def test_views_are_counted_when_those_that_were_ready_are_used_up():
    """Four batches at once, then one in a tenth of a second."""
    now, taken = [0.0], [0]

    def batches():
        while True:
            taken[0] += 1
            now[0] += 0.0 if taken[0] <= 4 else 0.1
            yield

    assert images.count_rate(batches(), clock=lambda: now[0]) == pytest.approx(10)


def test_views_of_the_sample(monkeypatch):
    monkeypatch.setattr(images, "_SECONDS", 0.01)
    monkeypatch.setattr(images, "count_rate", lambda batches: 2.0 * next(batches).shape[1])
    finding = images.views(subject(dataset="no such data set", num_views=3, image_size=16))
    assert finding.state == OK
    assert f"{2 * 3 * 64 * 3:,} views of 16 px per second" in finding.found


def test_a_data_set_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    asked = subject(dataset="stl10", data_dir=str(tmp_path))
    finding = images.prepared(asked)
    assert finding.state == ATTENTION
    assert f"--dataset=stl10 is not prepared in {tmp_path}" in finding.found
    (tmp_path / "stl10").mkdir()
    assert images.prepared(asked).state == OK
    assert images.prepared(subject()).state == OK


def test_sizes_in_words():
    assert [size(n) for n in (12, 2048, 3 * 2**20, 5 * 2**30, 3 * 2**40)] == [
        *("12 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB", "3072.0 GiB"),
    ]
