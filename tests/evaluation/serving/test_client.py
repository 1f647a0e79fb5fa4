"""What a client does when a server is away, refuses, or changes; without TensorFlow in a server."""

import http.server
import json
import threading

import numpy as np
import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.features.embedding import encoded_batches
from msbreg_tf.evaluation.serving.address import parse_address
from msbreg_tf.evaluation.serving.answers import (
    Description,
    NotServedError,
    RefusedError,
    ServerAwayError,
)
from msbreg_tf.evaluation.serving.client import ServedEncoder
from msbreg_tf.evaluation.serving.settings import ServerSettings

ADDRESS = parse_address("http://host:8501/v1/models/encoder")
SIGNATURES = {"serve_bytes": (["image_bytes"], ["embedding", "valid"])}


class Scripted:
    """A connection that fails as it is told, then gives each image its length and its square."""

    def __init__(self, *failures, version=3):
        self.failures = list(failures)
        self.asked = []
        self.version = version
        self._lock = threading.Lock()

    def describe(self):
        return Description(self.version, SIGNATURES)

    def predict(self, images, version):
        with self._lock:
            self.asked.append((len(images), version))
            if self.failures and (failure := self.failures.pop(0)):
                raise failure
        lengths = np.array([len(image) for image in images], np.float32)
        rows = np.stack([lengths, lengths**2], axis=1)
        rows[lengths == 0] = np.nan
        return {"embedding": rows, "valid": lengths > 0}

    def close(self):
        pass


@pytest.fixture
def waits(monkeypatch):
    """The pauses between retries, which take no time."""
    found = []
    monkeypatch.setattr(ServedEncoder, "_pause", lambda self, seconds: found.append(seconds))
    return found


def client(connection, **settings):
    encoder = ServedEncoder(ADDRESS, ServerSettings(**settings), connection=connection)
    return encoder


def batches(*sizes):
    return [[b"x" * (10 * number + place) for place in range(1, size + 1)]
            for number, size in enumerate(sizes)]  # fmt: skip


def test_addresses():
    assert ADDRESS[1:] == ("http", "host", 8501, "encoder", None)
    version = parse_address("https://h.example/v1/models/a-b/versions/12:predict")
    assert version[1:] == ("https", "h.example", 443, "a-b", 12)
    assert parse_address("grpc://[::1]:8500/m/7")[1:] == ("grpc", "[::1]", 8500, "m", 7)
    for wrong in ("host:8501", "http://host:8501", "grpc://host/m", "grpc://host:8500",
                  "grpc://host:99999/m", "ftp://host:1/v1/models/m"):  # fmt: skip
        with pytest.raises(ValueError, match=r"--server=\S+: expected"):
            parse_address(wrong)


def test_rows_come_in_order_and_without_those_of_broken_images():
    connection = Scripted()
    rows = list(client(connection, server_requests=3).embed([[b"abc", b""], *batches(1, 4, 2)]))
    assert [good.tolist() for _, good in rows] == [[True, False], [True], [True] * 4, [True] * 2]
    first_numbers = np.concatenate([features[:, 0] for features, _ in rows])
    assert first_numbers.tolist() == [3, 1, 11, 12, 13, 14, 21, 22]
    assert {version for _, version in connection.asked} == {3}


def test_a_server_that_is_away_is_asked_again_ever_later(waits, capsys):
    away = [ServerAwayError("connection refused")] * 3
    (row,) = client(Scripted(*away), server_requests=1).embed(batches(2))
    assert row[0].shape == (2, 2)
    assert len(waits) == 3
    for pause, about in zip(waits, (0.5, 1, 2)):
        assert 0.75 * about <= pause <= 1.25 * about
    assert capsys.readouterr().err.count("no answer (connection refused); asking again") == 1


def test_a_server_that_stays_away_ends_the_run(waits):
    connection = Scripted(*[ServerAwayError("no route")] * 9)
    encoder = client(connection, server_retries=2, server_requests=1)
    with pytest.raises(RunFailedError, match=r"does not answer \(no route\), asked 3 times.*kept"):
        list(encoder.embed(batches(1)))
    assert len(connection.asked) == 3


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (NotServedError("gone"), r"version 3 is not served any more \(gone\)"),
        (RefusedError("batch too large"), r"refuses 2 images \(batch too large\).*--batch_size"),
    ],
)
def test_a_refusal_is_not_repeated(failure, message):
    connection = Scripted(failure)
    with pytest.raises(RunFailedError, match=message):
        list(client(connection).embed(batches(2)))
    assert len(connection.asked) == 1


def test_a_wrong_number_of_rows_is_refused():
    connection = Scripted()
    connection.predict = lambda images, version: {"embedding": np.zeros([1, 2])}
    with pytest.raises(RunFailedError, match=r"embedding \[1, 2\] for 2 images"):
        list(client(connection).embed(batches(2)))


def test_http_status_and_broken_answers_over_a_real_connection(waits):
    """A REST server that is busy, cut off and not JSON before it answers."""
    answers = [
        (503, b"busy"),
        (None, b""),
        (500, b"{}"),
        (200, b"<html>"),
        (404, b'{"error": "no"}'),
    ]
    signature = {"inputs": {"image_bytes": {}}, "outputs": {"embedding": {}}}
    signatures = {"signature_def": {"signature_def": {"serve_bytes": signature}}}
    metadata = {"model_spec": {"version": "4"}, "metadata": signatures}
    row = {"outputs": [[1.5, float("nan")], [2.0, 3.0]]}  # one output comes without its name

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self._send(200, json.dumps(metadata).encode())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, content = answers.pop(0) if answers else (200, json.dumps(row).encode())
            if status is None:
                self.close_connection = True
                return
            self._send(status, content)

        def _send(self, status, content):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = parse_address(f"http://127.0.0.1:{server.server_port}/v1/models/m")
    encoder = ServedEncoder(address, ServerSettings(server_requests=1))
    with pytest.raises(RunFailedError, match=r"it refuses 2 images .*html"):
        list(encoder.embed([[b"a", b"b"]]))
    with pytest.raises(RunFailedError, match=r"version 4 is not served any more \(no\)"):
        list(encoder.embed([[b"a", b"b"]]))
    ((features, good),) = encoder.embed([[b"a", b"b"]])
    assert good.tolist() == [False, True]
    assert features.tolist() == [[2.0, 3.0]]
    encoder.close()
    server.shutdown()
    server.server_close()
    with pytest.raises(RunFailedError, match=r"does not answer .*asked 2 times"):
        ServedEncoder(address, ServerSettings(server_retries=1))


def test_what_is_sent(pictures, tmp_path):
    """Files as they are; what no graph decodes as PNG; nothing of what is broken or too large."""
    names = ["a.png", "deep/d.webp", "f.png", "g.webp", "gone.png"]
    paths = [str(pictures / name) for name in names]
    sent = list(encoded_batches(paths, 2, megapixels=0.01))
    assert [len(batch) for batch in sent] == [2, 2, 1]
    flat = [image for batch in sent for image in batch]
    assert flat[0] == (pictures / "a.png").read_bytes()
    assert flat[1].startswith(b"\x89PNG")
    assert flat[2:] == [b"", b"", b""]  # 120 × 127 pixels are too many
    by_bytes = list(encoded_batches(paths[:1] * 3, 9, 200, limit=len(flat[0])))
    assert [len(batch) for batch in by_bytes] == [1, 1, 1]
