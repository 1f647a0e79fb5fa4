"""Two workers as processes of their own on this machine, stopped, killed and started again."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from msbreg_tf.distributed.replicas import read_own_copies
from msbreg_tf.distributed.workers import HEARTBEAT_SECONDS, Workers, split_batches
from msbreg_tf.errors import EXIT_BAD_INPUT, EXIT_PREEMPTED, EXIT_RUN_FAILED, PreemptedError
from msbreg_tf.files.workdir import Claim, Workdir
from msbreg_tf.run import pretraining
from tests.distributed.test_rendezvous import free_addresses
from tests.run.test_train import (
    ROOT,
    SMALL,
    metrics_bytes,
    read_metrics,
    small,
    variables,
    wait_for_step,
)


class Pair:
    """Two workers on free ports; killed at the end of the `with` block at the latest."""

    def __init__(self, workdir, *changes):
        addresses = free_addresses(2)
        self.processes, self.outputs = [], [None, None]
        for index in range(2):
            settings = {**SMALL, "workdir": workdir, **(changes[index] if changes else {})}
            task = {"type": "worker", "index": index}
            tf_config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "msbreg_tf.train"]
                    + [f"--{name}={value}" for name, value in settings.items()],
                    cwd=ROOT,
                    env={**os.environ, "TF_CONFIG": tf_config},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def wait_for_step(self, workdir, step):
        """Tracing a step of two workers at once takes minutes on a busy machine."""
        assert any(wait_for_step(workdir, step, self.processes[0]) for _ in range(3))

    def codes(self):
        """Exit codes of both, when they have ended."""
        self.outputs = [process.communicate(timeout=300)[0] for process in self.processes]
        return [process.returncode for process in self.processes]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The same run, uninterrupted, on two replicas of one process."""
    workdir = str(tmp_path_factory.mktemp("reference"))
    pretraining.train(small(workdir, strategy="mirrored"))
    return workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("workers"))


@pytest.mark.slow
def test_sigterm_to_one_stops_all_after_the_same_step(workdir):
    with Pair(workdir) as pair:
        pair.wait_for_step(workdir, 2)
        pair.processes[1].send_signal(signal.SIGTERM)
        assert pair.codes() == [EXIT_PREEMPTED] * 2, pair.outputs
    step = read_metrics(workdir)[-1]["step"]
    assert 2 <= step < 14
    line = f"SIGTERM received by worker 1: step {step} finished and saved."
    assert all(line in output for output in pair.outputs)
    assert f"{step:08d}" in os.listdir(os.path.join(workdir, "checkpoints"))


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_in_bounded_time_with_one_line(workdir):
    """It continues the run of the test before."""
    with Pair(workdir) as pair:
        pair.wait_for_step(workdir, 9)
        pair.processes[1].kill()
        killed = time.monotonic()
        codes = pair.codes()
        waited = time.monotonic() - killed
    assert codes == [EXIT_RUN_FAILED, -signal.SIGKILL], pair.outputs
    assert "Continuing from step" in pair.outputs[0]
    errors = [line for line in pair.outputs[0].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: worker 1 is gone: ")
    assert "Start all 2 workers again" in errors[0]
    assert "Traceback" not in pair.outputs[0]
    assert waited < HEARTBEAT_SECONDS + 20, waited  # the end of a process takes a moment too


@pytest.mark.slow
def test_started_again_all_ends_like_one_process_bit_for_bit(workdir, reference):
    with Pair(workdir) as pair:
        assert pair.codes() == [0, 0], pair.outputs
    assert metrics_bytes(workdir) == metrics_bytes(reference)
    ours, theirs = variables(workdir, 14), variables(reference, 14)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.slow
def test_only_the_chief_wrote(workdir):
    """After three starts of both workers."""
    assert sorted(os.listdir(workdir)) == [
        ".lock",
        "checkpoints",
        "export",
        "metrics.jsonl",
        "run.json",
        "tensorboard",
    ]
    assert len(os.listdir(os.path.join(workdir, "tensorboard"))) == 2  # what was kept, and new
    assert [line["step"] for line in read_metrics(workdir)] == list(range(1, 15))
    assert os.listdir(os.path.join(workdir, "export")) == ["14"]
    assert os.listdir(os.path.join(workdir, "checkpoints"))[3:] == []


@pytest.mark.slow
def test_a_worker_that_can_not_start_tells_the_others_why(tmp_path):
    here = {"dataset": "folder", "split": "train", "data_dir": str(tmp_path)}
    sample = pathlib.Path(
        ROOT, "msbreg_tf", "data", "sources", "cifar10_sample", "test", "ship.png"
    )
    for number in range(128):
        (tmp_path / f"{number}.png").symlink_to(sample)
    elsewhere = {**here, "data_dir": str(tmp_path / "nowhere")}
    with Pair(str(tmp_path / "run"), here, elsewhere) as pair:
        assert pair.codes() == [EXIT_RUN_FAILED, EXIT_BAD_INPUT], pair.outputs
    own = f"--data_dir={elsewhere['data_dir']}: no such folder."
    assert f"error: {own}" in pair.outputs[1]
    assert f"error: worker 1 ended: {own}" in pair.outputs[0]
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_workdir_that_not_all_see_is_one_line(tmp_path):
    mine = Workdir(str(tmp_path / "mine"), holder=False)
    with pytest.raises(ValueError, match=r"run\.json, which worker 0 has written, is not there"):
        mine.claim(Claim("pretraining", {}, {}))
    assert not (tmp_path / "mine").exists()


def test_a_batch_is_split_into_consecutive_rows():
    whole = tf.data.Dataset.from_tensor_slices(tf.range(24)).batch(12, drop_remainder=True)
    parts = split_batches(whole, 3)
    assert parts.element_spec == tf.TensorSpec([4], tf.int32)
    np.testing.assert_array_equal(np.concatenate(list(parts.as_numpy_iterator())), np.arange(24))


@pytest.mark.parametrize("error", [None, tf.errors.UnavailableError(None, None, "chief left")])
def test_whoever_is_preempted_waits_for_those_still_in_a_collective(monkeypatch, error):
    waited = []

    def wait_at_barrier(self, name, timeout_in_ms):
        waited.append(timeout_in_ms)
        if error:
            raise error

    monkeypatch.setattr(context.Context, "wait_at_barrier", wait_at_barrier)
    workers = Workers()
    workers.strategy = tf.distribute.get_strategy()  # as if there were others
    with pytest.raises(PreemptedError), workers:
        raise PreemptedError("saved.")
    assert waited == [1000 * HEARTBEAT_SECONDS]


def test_alone_everything_is_as_without_workers():
    views = tf.data.Dataset.range(3)
    with Workers() as workers:
        assert workers.all_gather(7) == [7.0]
        assert workers.rows(8) is None
        assert workers.feed(views) is views
        assert (
            workers.explain(tf.errors.AbortedError(None, None, "Collective ops is aborted")) is None
        )


def test_moving_statistics_are_read_without_asking_other_replicas(mirrored):
    with mirrored.scope():
        layer = tf.keras.layers.BatchNormalization(synchronized=True)
        layer.build([None, 2])
    mirrored.run(
        lambda: layer.moving_mean.assign(
            tf.fill(
                [2],
                1.0
                + tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32),
            )
        )
    )
    assert layer.moving_mean.numpy().tolist() == [1.5, 1.5]
    read_own_copies(layer.variables)
    assert layer.moving_mean.numpy().tolist() == [1.0, 1.0]
    assert layer.get_weights()[2].tolist() == [1.0, 1.0]
