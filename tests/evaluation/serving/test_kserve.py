"""A real server of others: KServe, in an environment of its own, with TensorFlow 2.21."""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("kserve", reason="needs kserve, which needs a newer protobuf than TF 2.15")

import tensorflow as tf

from tests.evaluation.serving.conftest import encoded
from tests.evaluation.serving.served import ROOT


@pytest.fixture
def port(base):
    """Of a running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.evaluation.serving.kserve_server"]
    process = subprocess.Popen([*command, str(base / "1560"), str(port)], cwd=ROOT)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/encoder").read()
                break
            except (OSError, urllib.error.URLError):
                assert process.poll() is None
                time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_its_answer_is_the_exports_to_the_bit(port, base):
    images = [encoded(1), b"no image", encoded(2, "JPEG", 50)]
    serve = tf.saved_model.load(str(base / "1560")).signatures["serve_bytes"]
    expected = serve(image_bytes=tf.constant(images))["embedding"].numpy()
    rows = [{"b64": base64.b64encode(image).decode()} for image in images]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models/encoder:predict",
        json.dumps({"instances": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)["predictions"]
    assert [row["valid"] for row in found] == [True, False, True]
    for index in (0, 2):
        np.testing.assert_array_equal(np.float32(found[index]["embedding"]), expected[index])
