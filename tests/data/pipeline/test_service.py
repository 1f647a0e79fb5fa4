"""Batches through a real tf.data service, against those made here."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.pipeline import ordered_reader, service
from msbreg_tf.data.pipeline.service import check_service, service_batches
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
from msbreg_tf.data.sources.folder import FolderSource
from msbreg_tf.data.sources.source import MemorySource
from msbreg_tf.errors import RunFailedError
from tests.data.conftest import crop_by_draws, memory_source, stream_source

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
N, K, IMAGES = 4, 3, 15  # three steps in an epoch
CHOICES = {"seed": 5, "batch_size": N, "num_views": K}


@contextlib.contextmanager
def started_service(workers=2):
    """A dispatcher and workers in this process; yields their address."""
    servers = tf.data.experimental.service
    dispatcher = servers.DispatchServer()
    address = dispatcher.target.split("://")[1]
    config = servers.WorkerConfig(dispatcher_address=address)
    running = [servers.WorkerServer(config) for _ in range(workers)]
    yield dispatcher.target
    del running, dispatcher


@pytest.fixture(scope="module")
def address():
    with started_service() as target:
        yield target


def folder_source(root, jpegs) -> FolderSource:
    """15 files, two of them broken; its log lies where no worker could write."""
    for number in range(IMAGES):
        content = b"no image" if number in (0, 7) else jpegs[number % len(jpegs)]
        (root / f"{number:02}.jpg").write_bytes(content)
    source = FolderSource("folder", root, [str(path) for path in sorted(root.iterdir())])
    source._log = "/no/such/folder/log"
    return source


def here(source, start=0, stop=8):
    views = view_batches(ViewPlan(source, crop_by_draws, **CHOICES), start, stop)
    return np.stack(list(views.as_numpy_iterator()))


@contextlib.contextmanager
def elsewhere(address, source, start=0, stop=8, **options):
    recipe = ViewPlan(source, crop_by_draws, **CHOICES)
    with service_batches(address, recipe, start, stop, **options) as views:
        yield views


@pytest.mark.parametrize(("kind", "start"), [("memory", 4), ("folder", 2)])
def test_same_batches_in_the_same_order(address, kind, start, tmp_path, jpegs, capsys):
    source = memory_source(IMAGES) if kind == "memory" else folder_source(tmp_path, jpegs)
    with elsewhere(address, source, start, 14) as views:
        assert views.element_spec == tf.TensorSpec([N, K, 8, 8, 3], tf.uint8)
        assert int(views.cardinality()) == 14 - start
        np.testing.assert_array_equal(list(views.as_numpy_iterator()), here(source, start, 14))
    assert "computed on this machine" not in capsys.readouterr().out


def test_records_that_a_worker_can_read_are_not_sent(address, tmp_path, monkeypatch):
    source = memory_source(IMAGES)
    files = str(tmp_path / "records")
    with tf.io.TFRecordWriter(files) as writer:
        for image in source.records_in_memory().numpy():
            writer.write(image.tobytes())

    def read_again():
        records = tf.data.TFRecordDataset(files).map(lambda r: tf.io.decode_raw(r, tf.uint8))
        return tf.reshape(records.batch(IMAGES).get_single_element(), [IMAGES, 12, 12, 3])

    reading = MemorySource("again", source.records_in_memory(), lambda r: r, (12, 12), read_again)
    with elsewhere(address, reading) as views:
        np.testing.assert_array_equal(list(views.as_numpy_iterator()), here(source))
    os.remove(files)
    with (
        pytest.raises(RunFailedError, match=r"--data_service=.*records.*the same paths as here"),
        elsewhere(address, reading) as views,
    ):
        list(views)


def test_batches_may_be_any_structure_of_tensors(address, monkeypatch):
    plain = service.batches_of

    def structured(*args):
        return plain(*args).map(lambda views: {"first": views[:, 0], "rest": (views[:, 1:],)})

    monkeypatch.setattr(service, "batches_of", structured)
    source = memory_source(IMAGES)
    with elsewhere(address, source, stop=3) as batches:
        received = list(batches.as_numpy_iterator())
    expected = here(source, stop=3)
    np.testing.assert_array_equal([b["first"] for b in received], expected[:, :, 0])
    np.testing.assert_array_equal([b["rest"][0] for b in received], expected[:, :, 1:])


def test_without_workers_all_is_made_here(monkeypatch, capsys):
    monkeypatch.setattr(ordered_reader, "_PATIENCE_AT_FIRST", 0.5)
    source = memory_source(IMAGES)
    with started_service(workers=0) as address, elsewhere(address, source) as views:
        np.testing.assert_array_equal(list(views.as_numpy_iterator()), here(source))
    assert capsys.readouterr().out.count("computed on this machine") == 1


def start_tool(*flags):
    """A process of tools.data_service that is up, and the address that it printed last."""
    command = [sys.executable, "-m", "tools.data_service", *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends it" in line:
            return process, re.findall(r"grpc://\S+", "".join(lines))[-1]
    raise AssertionError("".join(lines))


@pytest.mark.slow
def test_killed_workers_change_nothing_and_a_killed_dispatcher_ends_the_run(monkeypatch, capsys):
    """Real processes, kill -9: first one worker in mid-run, then the dispatcher."""
    monkeypatch.setattr(ordered_reader, "_PROBE_AFTER", 0.5)
    monkeypatch.setattr(ordered_reader, "_OUTAGE", 1.0)
    source, stop = memory_source(IMAGES), 200
    both, address = start_tool("--role=both", "--port=0")
    worker, _ = start_tool("--role=worker", f"--dispatcher={address}")
    received = []

    def read(views):
        for step, batch in enumerate(views.as_numpy_iterator()):
            received.append(batch)
            if step == 20:
                worker.kill()
            if step == stop:
                both.kill()
            if step < stop:
                time.sleep(0.01)

    try:
        with (
            pytest.raises(RunFailedError, match=r"the dispatcher is gone"),
            elsewhere(address, source, stop=100_000) as views,
        ):
            read(views)
        assert len(received) > stop
        np.testing.assert_array_equal(received[:stop], here(source, stop=stop))
    finally:
        for process in (both, worker):
            process.kill()
            process.wait()


def test_what_can_not_work_is_refused_at_once(address):
    check_service(address, memory_source(IMAGES))
    with pytest.raises(ValueError, match=r"--data_service: stream is streamed.*--cache_mb"):
        check_service(address, stream_source(IMAGES))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        wrong = f"grpc://localhost:{free.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"--data_service={wrong}: nothing .*refused"):
            check_service(wrong, memory_source(IMAGES))


def test_another_kind_of_server_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(service, "_CONNECT_SECONDS", 1.0)
    with socket.create_server(("localhost", 0)) as mute:
        wrong = f"grpc://localhost:{mute.getsockname()[1]}"
        with pytest.raises(ValueError, match=r"what listens there is no tf\.data service"):
            check_service(wrong, memory_source(IMAGES))
