"""What goes wrong while a run goes on: what its user sees, and that no work is lost."""

import ctypes.util
import errno
import glob
import itertools
import math
import os
import pathlib
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.commands import cli
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.errors import EXIT_BAD_INPUT, EXIT_RUN_FAILED
from msbreg_tf.files import lock, metrics_file
from msbreg_tf.run import failures, pretraining
from tests.run.test_train import (
    metrics_bytes,
    read_metrics,
    small,
    start,
    variables,
    wait_for_step,
)


def outcome(config, capfd):
    """Trains as the command would; returns (exit code, lines that begin with 'error: ')."""
    capfd.readouterr()
    try:
        cli.guarded(lambda: pretraining.train(config))()
        code = 0
    except SystemExit as error:
        code = error.code
    stderr = capfd.readouterr().err
    assert "Traceback" not in stderr
    return code, [line for line in stderr.splitlines() if line.startswith("error: ")]


def after_step(workdir, step, action):
    """Starts a thread that calls `action` once the run has logged `step`; returns what it saw."""
    seen = []

    def watch():
        seen.append(wait_for_step(str(workdir), step))
        action()

    threading.Thread(target=watch, daemon=True).start()
    return seen


def mount(*arguments):
    """Calls mount(8), or skips the test where that is not allowed."""
    if not shutil.which("mount"):
        pytest.skip("no mount command here")
    result = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 2.2 MiB: three of the run's checkpoints and no more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2200k", "tmpfs", str(folder))
    yield str(folder)
    subprocess.run(["umount", "--recursive", "--lazy", folder], check=True)


def test_one_nan_in_a_batch_ends_the_run_before_it_is_saved(tmp_path, monkeypatch, capfd):
    whole = pretraining.view_batches

    def poison(index, views):
        views = tf.cast(views, tf.float32)
        place = [[0, 0, 0, 0, 0]]
        poisoned = tf.tensor_scatter_nd_update(views, place, [math.nan])
        return tf.where(index == 5, poisoned, views)  # the sixth step's

    monkeypatch.setattr(
        pretraining, "view_batches", lambda *a, **k: whole(*a, **k).enumerate().map(poison)
    )
    code, (line,) = outcome(small(tmp_path), capfd)
    assert code == EXIT_RUN_FAILED
    assert line.startswith("error: step 6: loss = nan")
    assert "the last good checkpoint is from step 4" in line
    assert [entry["step"] for entry in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    for name, value in variables(tmp_path, 4).items():
        assert value.dtype.kind != "f" or np.isfinite(value).all(), name


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_checkpoint(finished, disk, capfd):
    config = small(disk, checkpoint_every=2)
    code, (line,) = outcome(config, capfd)
    assert code == EXIT_RUN_FAILED
    assert "No space left on device" in line
    assert "is kept" in line or "checkpoints are kept" in line
    assert "ree space" in line
    kept = sorted(os.listdir(os.path.join(disk, "checkpoints")))
    assert kept
    assert all(name.isdigit() for name in kept)  # nothing half written
    mount("-o", "remount,size=64m", disk)
    assert outcome(config, capfd) == (0, [])
    assert metrics_bytes(disk) == metrics_bytes(finished[0])


@pytest.mark.slow
def test_a_checkpoint_that_the_disk_refuses(finished, tmp_path, capfd, monkeypatch):
    """As above, where mounting is not allowed: TensorFlow's own error, half a file later."""
    write = tf.train.Checkpoint.write

    def refuse(self, path, *arguments, **others):
        if "partial-6" not in path:
            return write(self, path, *arguments, **others)
        pathlib.Path(f"{path}.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", refuse)
    config = small(tmp_path, checkpoint_every=2)
    code, (line,) = outcome(config, capfd)
    assert code == EXIT_RUN_FAILED
    assert line.startswith("error: step 6: the checkpoint could not be written")
    assert "No space left on device); step 4 is kept. Free space there" in line
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["00000002", "00000004"]
    monkeypatch.setattr(tf.train.Checkpoint, "write", write)
    assert outcome(config, capfd) == (0, [])
    assert metrics_bytes(tmp_path) == metrics_bytes(finished[0])


@pytest.mark.slow
def test_a_folder_that_refuses_writing(finished, tmp_path, capfd, monkeypatch):
    """As below, where mounting is not allowed: the errors that Python raises on such a folder."""
    workdir = tmp_path / "run"

    def refuse(path, mode="r"):
        if mode != "r" and read_metrics(workdir)[-1]["step"] >= 6:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return open(path, mode)

    config = small(workdir)
    with monkeypatch.context() as patch:
        workdir.mkdir()
        (workdir / "metrics.jsonl").write_text('{"step": 0}\n')
        for module in (metrics_file, lock, failures):
            patch.setattr(module, "open", refuse, raising=False)
        code, (line,) = outcome(config, capfd)
        assert code == EXIT_RUN_FAILED
        assert "Read-only file system" in line
        assert "Start the same command again" in line
        assert "error.txt" not in line  # which could not be written
        code, (line,) = outcome(config, capfd)
        assert code == EXIT_BAD_INPUT
        assert line == (
            f"error: --workdir={workdir}: can't be written (Read-only file system). Choose another "
            "folder."
        )
    assert outcome(config, capfd) == (0, [])
    assert read_metrics(workdir)[1:] == read_metrics(finished[0])


@pytest.mark.slow
def test_a_folder_that_becomes_read_only(finished, tmp_path, capfd):
    """A read-only mount over the folder, so that it works for root too."""
    workdir = str(tmp_path / "run")
    os.mkdir(workdir)

    def cover():
        subprocess.run(["mount", "--bind", workdir, workdir], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", workdir], check=True)

    mount("--bind", workdir, workdir)  # whether it is allowed
    subprocess.run(["umount", workdir], check=True)
    after_step(workdir, 6, cover)
    try:
        code, (line,) = outcome(small(workdir), capfd)
        assert code == EXIT_RUN_FAILED
        assert "Read-only file system" in line
        assert "Start the same command again" in line
        assert "error.txt" not in line  # which could not be written
        code, (line,) = outcome(small(workdir), capfd)
        assert code == EXIT_BAD_INPUT
        assert line == (
            f"error: --workdir={workdir}: can't be written (Read-only file system). Choose another "
            "folder."
        )
    finally:
        subprocess.run(["umount", "--lazy", workdir])
    assert outcome(small(workdir), capfd) == (0, [])
    assert metrics_bytes(workdir) == metrics_bytes(finished[0])


def test_images_that_break_during_training_are_replaced_and_named(tmp_path, capfd):
    folder, workdir = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    images, _ = load_sample("test")
    for index, image in enumerate(images[:48]):
        (folder / f"{index:02d}.png").write_bytes(tf.io.encode_png(image).numpy())

    def damage():
        (folder / "03.png").unlink()
        (folder / "11.png").write_bytes(b"no image at all")
        os.truncate(folder / "29.png", 700)

    seen = after_step(workdir, 2, damage)
    changes = {"dataset": "folder", "data_dir": str(folder), "split": "train", "batch_size": 16}
    config = small(workdir, **changes, epochs=20, checkpoint_every=100)
    pretraining.train(config)
    assert seen == [True]
    stderr = capfd.readouterr().err
    assert "3 of 48 images can't be read and were replaced by others:" in stderr
    assert [name for name in ("03", "11", "29") if f"{folder}/{name}.png" in stderr] == [
        "03",
        "11",
        "29",
    ]
    lines = read_metrics(workdir)
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert all(math.isfinite(line["loss"]) for line in lines)


_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
/* Wall clocks run backwards from now; what measures intervals stays as it is. */
static int now(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, t);
}
static time_t start;
int clock_gettime(clockid_t id, struct timespec *t) {
    int result = now(id, t);
    if (id != CLOCK_REALTIME || result) return result;
    if (!start) start = t->tv_sec;
    t->tv_sec = start - 60 * (t->tv_sec - start);
    return 0;
}
time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture(scope="module")
def backwards(tmp_path_factory):
    """A run whose clock goes back a minute a second, and a second process on its folder.

    Returns (workdir, its output and exit code, the second's output and exit code).
    """
    folder = tmp_path_factory.mktemp("backwards")
    library = str(folder / "clock.so")
    compiler = shutil.which("cc")
    if not compiler or not ctypes.util.find_library("c"):
        pytest.skip("no C compiler here, which makes the clock that goes backwards")
    (folder / "clock.c").write_text(_CLOCK)
    command = [compiler, "-shared", "-fPIC", "-o", library, str(folder / "clock.c"), "-ldl"]
    subprocess.run(command, check=True)
    workdir = str(folder / "run")
    shown = subprocess.run(
        ["date", "+%s"], env={**os.environ, "LD_PRELOAD": library}, capture_output=True, check=True
    )
    assert shown.stdout  # it loads
    first = start(workdir, environment={"LD_PRELOAD": library})
    wait_for_file(os.path.join(workdir, "run.json"), first)
    second = start(workdir)
    outputs = [process.communicate(timeout=400)[0] for process in (second, first)]
    return workdir, (outputs[1], first.returncode), (outputs[0], second.returncode)


def wait_for_file(path, process):
    while process.poll() is None and not os.path.exists(path):
        threading.Event().wait(0.05)


@pytest.mark.slow
def test_a_wall_clock_that_goes_backwards_in_python(finished, tmp_path, capfd, monkeypatch):
    """As below, where there is no C compiler: `time.time` falls by a minute with each look."""
    begin, looks = time.time(), itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: begin - 60 * next(looks))
    assert outcome(small(tmp_path), capfd) == (0, [])
    assert time.time() < begin - 60  # somebody has looked, so this saw the change
    assert metrics_bytes(tmp_path) == metrics_bytes(finished[0])


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_nothing(finished, backwards):
    workdir, (output, code), _ = backwards
    assert code == 0, output
    assert metrics_bytes(workdir) == metrics_bytes(finished[0])
    assert "-" not in "".join(line for line in output.splitlines() if "images/s" in line)
    (path,) = glob.glob(os.path.join(workdir, "tensorboard", "events*"))
    times, rates = [], []
    for record in tf.data.TFRecordDataset(path):
        event = tf.compat.v1.Event.FromString(record.numpy())
        times.append(event.wall_time)
        rates += [
            float(tf.make_ndarray(value.tensor))
            for value in event.summary.value
            if value.tag == "throughput/images_per_second"
        ]
    assert times[-1] < times[0] - 10  # so the clock did go backwards
    assert len(rates) == 13
    assert min(rates) > 0


@pytest.mark.slow
def test_a_second_process_on_the_folder_is_refused_and_the_first_goes_on(backwards):
    _, (_, first_code), (output, code) = backwards
    assert code == EXIT_RUN_FAILED
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert " is working there. Wait for it" in line
    assert first_code == 0
