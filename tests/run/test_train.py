"""Whole runs, in this process and killed from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.errors import EXIT_PREEMPTED, EXIT_RUN_FAILED, PreemptedError, RunFailedError
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.files.workdir import Workdir
from msbreg_tf.run import pretraining
from msbreg_tf.run.callbacks import monitors
from msbreg_tf.run.config import config_from_settings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# 1,000 real images, 7 steps an epoch, 14 in all.
SMALL = {
    "dataset": "sample",
    "split": "test",
    "encoder_width": 4,
    "stem": "cifar",
    "hidden_size": 16,
    "projection_size": 8,
    "num_views": 2,
    "lambda_s": 0.01,
    "lambda_b": 0.1,
    "batch_size": 128,
    "epochs": 2,
    "warmup_epochs": 0.5,
    "checkpoint_every": 4,
    "log_every": 1,
}


def small(workdir, **changes):
    return config_from_settings({**SMALL, "workdir": workdir and str(workdir), **changes})


def read_metrics(workdir):
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def metrics_bytes(workdir):
    with open(os.path.join(workdir, "metrics.jsonl"), "rb") as file:
        return file.read()


def variables(workdir, step):
    """Every tensor of a checkpoint, by name."""
    reader = tf.train.load_checkpoint(os.path.join(workdir, "checkpoints", f"{step:08d}", "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
    return {name: reader.get_tensor(name) for name in names}


def start(workdir, environment=None, **changes):
    """Starts a run in a process of its own; `environment` is added to this process's."""
    settings = {**SMALL, "workdir": workdir, **changes}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "msbreg_tf.train", *flags],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_step(workdir, step, process=None):
    """Waits until `metrics.jsonl` holds `step`; False if the process or the patience ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        path = os.path.join(workdir, "metrics.jsonl")
        if os.path.exists(path):
            with open(path) as file:
                if any(line.startswith(f'{{"step": {step},') for line in file):
                    return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_a_run_prints_its_plan_and_leaves_everything(finished):
    workdir, output = finished
    for words in (
        "1,000 images",
        "7 per epoch × 2 epochs = 14",
        "= base_lr 0.5 × 128/256 × 2 views",
        "centroid + 0.01 singular_value + 0.1 brownian",
        "not decayed",
        "Exported the encoder of step 14",
    ):
        assert words in output
    lines = read_metrics(workdir)
    assert [line["step"] for line in lines] == list(range(1, 15))
    assert {"loss", "centroid", "singular_value", "brownian", "tau", "learning_rate"} <= set(
        lines[0]
    )
    assert lines[0]["learning_rate"] == 0.0  # warm-up starts from 0
    assert os.path.exists(os.path.join(workdir, "export", "14", "saved_model.pb"))
    assert sorted(os.listdir(os.path.join(workdir, "checkpoints"))) == [
        "00000008",
        "00000012",
        "00000014",
    ]


@pytest.mark.slow
def test_killed_anywhere_and_started_again_ends_bit_identical(finished, tmp_path):
    """kill -9 at random moments, once while a checkpoint is half written.

    Twenty kills of one run: RESULTS.md.
    """
    own = {
        "kills": 3,
        "during_checkpoints": 1,
        "delay": 0.05,
        "workdir": tmp_path / "killed",
        "reference": finished[0],
    }
    flags = [f"--{name}={value}" for name, value in {**own, **SMALL}.items()]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.kill_and_resume", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout
    assert "Continuing from step" in result.stdout
    assert re.search(r"^3 kills made, [123] of them while", result.stdout, re.MULTILINE)
    assert "metrics.jsonl to step 14 equal: True" in result.stdout
    count, total = re.search(r"equal: (\d+) of (\d+)", result.stdout).groups()
    assert count == total


@pytest.mark.slow
def test_sigterm_saves_and_exits_with_its_own_code(finished, tmp_path):
    workdir = str(tmp_path / "preempted")
    process = start(workdir)
    wait_for_step(workdir, 5, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_PREEMPTED, output
    assert "SIGTERM received" in output
    last = read_metrics(workdir)[-1]["step"]
    assert f"{last:08d}" in os.listdir(os.path.join(workdir, "checkpoints"))
    pretraining.train(small(workdir))  # continues, in this process
    assert read_metrics(workdir)[-1] == read_metrics(finished[0])[-1]


@pytest.mark.slow
def test_with_a_data_service_killed_and_continued_it_is_the_same_run(finished, tmp_path):
    """Its workers belong to this process, the run that is killed does not."""
    servers = tf.data.experimental.service
    dispatcher = servers.DispatchServer()
    config = servers.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1])
    workers = [servers.WorkerServer(config) for _ in range(2)]
    workdir = str(tmp_path / "served")
    process = start(workdir, data_service=dispatcher.target)
    wait_for_step(workdir, 6, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.stdout.read()
    output, _ = start(workdir, data_service=dispatcher.target).communicate(timeout=300)
    assert "Continuing from step" in output
    assert "made here" not in output
    assert metrics_bytes(workdir) == metrics_bytes(finished[0])
    del workers


def test_starting_a_finished_run_again_only_exports(finished, capsys):
    workdir, _ = finished
    before = read_metrics(workdir)
    pretraining.train(small(workdir))
    assert "Continuing from step 14 of 14" in capsys.readouterr().out
    assert read_metrics(workdir) == before


def test_other_settings_in_the_same_workdir_are_refused_with_a_diff(finished):
    workdir, _ = finished
    with pytest.raises(ValueError, match=r"--lambda_s: 0.01 there, 0.02 now") as error:
        pretraining.train(small(workdir, lambda_s=0.02, seed=1))
    assert "--seed: 0 there, 1 now" in str(error.value)


def test_a_truncated_newest_checkpoint_falls_back(finished, tmp_path, capsys):
    workdir = str(tmp_path / "copy")
    shutil.copytree(finished[0], workdir)
    os.truncate(os.path.join(workdir, "checkpoints", "00000014", "state.data-00000-of-00001"), 1000)
    pretraining.train(small(workdir))
    assert "trying the one before" in capsys.readouterr().err
    ours, theirs = variables(workdir, 14), variables(finished[0], 14)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_non_finite_loss_stops_with_step_and_term_and_keeps_the_checkpoint(tmp_path):
    config = small(tmp_path, base_lr=1e30, checkpoint_every=1, warmup_epochs=0.2)
    with pytest.raises(RunFailedError) as error:
        pretraining.train(config)
    message = str(error.value)
    assert "step " in message
    assert " = nan" in message or " = inf" in message
    kept = Checkpoints(str(tmp_path / "checkpoints"), tf.train.Checkpoint()).steps()
    assert f"checkpoint is from step {kept[-1]}" in message
    for name, value in variables(tmp_path, kept[-1]).items():
        if value.dtype.kind == "f":
            assert np.isfinite(value).all(), name


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, monkeypatch):
    write = tf.train.Checkpoint.write

    def fill_up(self, path, *args, **kwargs):
        if ".partial-8" in path:
            with open(path + ".data", "w") as file:
                file.write("half")
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        return write(self, path, *args, **kwargs)

    monkeypatch.setattr(tf.train.Checkpoint, "write", fill_up)
    with pytest.raises(RunFailedError, match=r"step 8.*No space left.*step 4 is kept"):
        pretraining.train(small(tmp_path))
    assert os.listdir(tmp_path / "checkpoints") == ["00000004"]


def test_two_processes_on_one_workdir(tmp_path):
    first = Workdir(str(tmp_path))
    process = start(str(tmp_path))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_RUN_FAILED
    assert f"process {os.getpid()} on " in output
    first.close()
    Workdir(str(tmp_path)).close()  # the lock ends with its holder


def test_sigint_in_this_process_gives_the_handlers_back(tmp_path):
    seen = []

    def interrupt():
        seen.append(wait_for_step(str(tmp_path), 2))
        if seen[0]:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(PreemptedError, match="SIGINT"):
        pretraining.train(small(tmp_path))
    thread.join()
    assert seen == [True]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"mixed_precision": True},
        {"strategy": "mirrored", "augment_on": "device", "momentum_form": "torch"},
        {"norm": "layer", "method": "byol_uniform"},
        {"norm": "group_ws", "method": "batch_repetition", "num_views": 3, "accumulate_steps": 2},
    ],
)
def test_other_ways_to_train_also_resume_exactly_and_export(tmp_path, changes):
    """Interrupted in this process: the run's own code, another compiled step, the same numbers."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    changes = {"epochs": 1, "warmup_epochs": 0.2, "checkpoint_every": 3, **changes}
    export = pretraining.train(small(whole, **changes))

    def interrupt():
        if wait_for_step(str(halves), 2):
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(PreemptedError):
        pretraining.train(small(halves, **changes))
    thread.join()
    again = pretraining.train(small(halves, **changes))
    assert metrics_bytes(halves) == metrics_bytes(whole)
    images = np.zeros([2, 32, 32, 3], np.float32)
    ours, theirs = (
        tf.saved_model.load(folder).signatures["serving_default"](image=images)["embedding"]
        for folder in (again, export)
    )
    assert ours.dtype == tf.float32
    np.testing.assert_array_equal(ours, theirs)


def test_a_damaged_record_of_the_run_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"settings": {')
    (tmp_path / "checkpoints" / "00000004").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        pretraining.train(small(tmp_path))


def test_missing_images_after_the_start_are_one_line_with_details(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise tf.errors.DataLossError(None, None, "truncated record at 17")

    monkeypatch.setattr(pretraining, "view_batches", broken)
    with pytest.raises(RunFailedError, match=r"truncated record at 17 \(DataLossError") as error:
        pretraining.train(small(tmp_path))
    assert "\n" not in str(error.value)
    assert "Traceback" in (tmp_path / "error.txt").read_text()


def test_data_that_ends_early_is_no_success(tmp_path, monkeypatch):
    whole = pretraining.view_batches
    monkeypatch.setattr(
        pretraining, "view_batches", lambda *args, **kwargs: whole(*args, **kwargs).take(3)
    )
    with pytest.raises(RunFailedError, match="ended at step"):
        pretraining.train(small(tmp_path))
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workdir": None}, ["--workdir"]),
        ({"workdir": "/dev/null/run"}, ["--workdir=/dev/null/run", "can't be written"]),
        ({"batch_size": 2000}, ["--batch_size=2000", "1000"]),
        ({"batch_size": 127, "strategy": "mirrored"}, ["--batch_size=127", "--batch_size=128"]),
        ({"batch_size": 126, "accumulate_steps": 4},
         ["--batch_size=126", "--accumulate_steps=4", "--batch_size=128"]),
        ({"batch_size": 100, "accumulate_steps": 4, "strategy": "mirrored"},
         ["--batch_size=100", "2 replicas", "--accumulate_steps=4", "--batch_size=104"]),
        ({"cpu_devices": 3}, ["--cpu_devices=3", "already works with 2"]),
        ({"dataset": "cifar11"}, ["--dataset=cifar11", "cifar10"]),
        ({"split": "validation"}, ["--split=validation", "train"]),
        ({"blur_sigma_max": 40.0}, ["--blur_sigma_max=40", "--image_size=32"]),
        ({"image_size": 16, "stem": "imagenet"}, ["image_size=16", "stem=cifar"]),
        ({"knn_every": 1, "knn_test_split": "dev"}, ["--knn_test_split=dev"]),
        ({"dataset": "folder", "split": "train"}, ["--data_dir"]),
        ({"data_service": "localhost:5050"}, ["--data_service=localhost:5050", "grpc://HOST:PORT"]),
        ({"data_service": "grpc://localhost:1"}, ["--data_service", "tools.data_service"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_flag_value_and_remedy(tmp_path, changes, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        pretraining.train(small(changes.pop("workdir", tmp_path), **changes))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run.json").exists()


def test_periodic_knn_is_logged(tmp_path, monkeypatch):
    """Neighbours from the one split, queries from the other, features of the encoder as it is."""
    features = []
    extract = monitors.extract_features

    def spy(embed, images):
        features.append(extract(embed, images))
        return features[-1]

    monkeypatch.setattr(monitors, "extract_features", spy)
    splits = {"knn_train_split": "test", "knn_test_split": "train", "knn_images": 300}
    config = small(tmp_path, epochs=1, warmup_epochs=0, knn_every=1, **splits)
    pretraining.train(config)
    (line,) = [line for line in read_metrics(tmp_path) if "knn20_top1" in line]
    assert line["step"] == 7
    bank, queries = features
    labels, truth = (load_sample(split)[1][:300] for split in ("test", "train"))
    twin = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(bank, labels)
    assert line["knn20_top1"] == pytest.approx(twin.score(queries, truth), abs=0.011)


def test_training_gives_back_what_it_has_switched(tmp_path):
    """Precision, graph options and signal handlers are the caller's again, also after a failure."""

    def state():
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        options = tf.config.optimizer.get_experimental_options()
        policy = tf.keras.mixed_precision.global_policy().name
        return policy, options.get("arithmetic_optimization", True), handlers

    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    before = state()
    assert before[:2] == ("mixed_bfloat16", True)
    pretraining.train(small(tmp_path / "good", epochs=1, warmup_epochs=0))
    assert state() == before
    with pytest.raises(ValueError, match="--batch_size"):
        pretraining.train(small(tmp_path / "bad", batch_size=2000))
    assert state() == before


def test_out_of_memory_has_a_remedy(tmp_path, monkeypatch):
    def exhausted(self):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating [8,8]\n[Op:Conv2D]")

    monkeypatch.setattr(pretraining.Run, "fit", exhausted)
    with pytest.raises(RunFailedError) as error:
        pretraining.train(small(tmp_path))
    message = str(error.value)
    assert message.startswith("OOM when allocating [8,8] (ResourceExhaustedError, details in ")
    assert "Out of memory: lower --batch_size" in message
    assert "\n" not in message
    assert "OOM when allocating" in (tmp_path / "error.txt").read_text()
