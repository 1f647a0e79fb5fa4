"""Exports behind a server: what docs/serving.md shows, and `tools.embed --server`."""

import json
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

pytest.importorskip(
    "tensorflow_serving", reason="needs the published protos, tensorflow-serving-api"
)

from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from msbreg_tf.commands import cli, embed
from msbreg_tf.evaluation.serving import messages, warmup
from msbreg_tf.evaluation.serving.address import parse_address
from msbreg_tf.evaluation.serving.client import ServedEncoder
from msbreg_tf.evaluation.serving.settings import ServerSettings
from tests.evaluation.serving.conftest import encoded
from tests.evaluation.serving.served import stand_in
from tests.evaluation.serving.stand_in import Servable

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "serving.md").read_text()
GOOD = ["a.png", "c.jpg", "deep/d.webp", "deep/e.gif", "f.png", "h.bmp"]
BROKEN = ["b.jpg", "g.webp"]


@pytest.fixture(scope="module")
def server(base):
    with stand_in(base) as running:
        yield running


@pytest.fixture(scope="module")
def in_process(base):
    """`serve_bytes` of the export, without a server."""
    serve = tf.saved_model.load(str(base / "1560")).signatures["serve_bytes"]
    return lambda images: serve(image_bytes=tf.constant(images))["embedding"].numpy()


@pytest.fixture(scope="module")
def whole(base, pictures, tmp_path_factory):
    """The file that one process writes."""
    output = str(tmp_path_factory.mktemp("whole") / "whole.npz")
    flags = [f"--saved_model={base / '1560'}", f"--data_dir={pictures}", f"--output={output}"]
    settings, _ = cli.read_flags(embed.COMMAND, ["embed", *flags])
    embed.COMMAND.run(*settings)
    return np.load(output)


def addresses(server):
    return [
        f"http://127.0.0.1:{server.rest}/v1/models/encoder",
        f"grpc://127.0.0.1:{server.grpc}/encoder",
    ]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_newest_version_is_served_and_warm(server):
    assert server.version == 1560
    assert server.warmed_up == 2


def test_the_curl_lines_of_the_docs(server, in_process, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(encoded(11, "JPEG"))
    expected = in_process([encoded(11, "JPEG")])
    script = "\n".join(block for block in blocks("sh") if "curl" in block)
    script = script.replace("localhost:8501", f"127.0.0.1:{server.rest}")
    script = script.replace(" http://", " -w '\\n' http://")
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    status, metadata, rows, columns = map(json.loads, done.stdout.splitlines())
    assert status["model_version_status"][0]["version"] == "1560"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["serve_bytes"]["method_name"] == "tensorflow/serving/predict"
    (row,) = rows["predictions"]
    assert row["valid"] is True
    np.testing.assert_allclose([row["embedding"]], expected, rtol=1e-6)
    assert columns["outputs"]["valid"] == [True]
    np.testing.assert_allclose(columns["outputs"]["embedding"], expected, rtol=1e-6)


def test_the_python_of_the_docs(server, in_process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(encoded(11, "JPEG"))
    (tmp_path / "dog.png").write_bytes(b"no image")
    names = {}
    for code in blocks("python"):
        exec(code.replace("localhost:8500", f"127.0.0.1:{server.grpc}"), names)
    assert names["valid"].tolist() == [True, False]
    np.testing.assert_allclose(names["features"][:1], in_process([encoded(11, "JPEG")]), rtol=1e-6)
    assert np.isnan(names["features"][1]).all()
    assert (names["version"], names["names"]) == (1560, ["serve_bytes", "serving_default"])


@pytest.mark.parametrize("interface", [0, 1], ids=["REST", "gRPC"])
def test_a_folder_through_a_server_is_the_file_of_one_process(
    interface, server, whole, pictures, run_command, tmp_path
):
    output = tmp_path / "served.npz"
    address = addresses(server)[interface]
    given = {"server": address, "data_dir": str(pictures), "output": str(output), "batch_size": 3}
    run_command(embed.COMMAND, **given)
    served = np.load(output)
    assert served["paths"].tolist() == whole["paths"].tolist() == GOOD
    np.testing.assert_allclose(served["embeddings"], whole["embeddings"], rtol=1e-5, atol=1e-6)
    assert pathlib.Path(f"{output}.broken.txt").read_text().split() == BROKEN
    assert "is complete already" in run_command(embed.COMMAND, **given)
    about = json.loads(str(served["msbreg_tf"]))
    assert (about["served"], about["version"]) == ("encoder", 1560)


@pytest.mark.parametrize("interface", [0, 1], ids=["REST", "gRPC"])
def test_what_a_server_does_not_have_is_said_in_one_line(interface, server):
    address = addresses(server)[interface]
    of_version = address + ("/7" if interface else "/versions/7")
    for wrong, named in ((address.replace("encoder", "other"), "other"), (of_version, "7")):
        with pytest.raises(ValueError, match=rf"it does not serve that .*{named}"):
            ServedEncoder(parse_address(wrong), ServerSettings())


def test_a_server_without_serve_bytes_is_refused(server):
    encoder = ServedEncoder(parse_address(addresses(server)[0]), ServerSettings())
    served = encoder._connection.describe()
    assert served.signatures["serve_bytes"] == (["image_bytes"], ["embedding", "valid"])
    del served.signatures["serve_bytes"]
    with pytest.raises(ValueError, match=r"no signature serve_bytes .*are serving_default"):
        encoder._check(served)


def test_pixels_in_rows_and_wrong_types(server):
    def ask(question):
        url = f"http://127.0.0.1:{server.rest}/v1/models/encoder:predict"
        with urllib.request.urlopen(url, json.dumps(question).encode()) as answer:
            return json.load(answer)

    pixels = np.full([2, 40, 33, 3], 9).tolist()
    (first, second) = ask({"instances": pixels})["predictions"]
    assert first == second
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask({"instances": [{"b64": "AAAA"}]})


def test_our_messages_are_the_published_ones(base):
    ours = messages.PredictRequest()
    ours.model_spec.name = "encoder"
    ours.model_spec.version.value = 3
    ours.model_spec.signature_name = "serve_bytes"
    tensor = tf.make_tensor_proto([b"a", b"b"])
    ours.inputs.add(key="image_bytes", value=tensor.SerializeToString())
    theirs = predict_pb2.PredictRequest.FromString(ours.SerializeToString())
    assert theirs.model_spec.version.value == 3
    assert tf.make_ndarray(theirs.inputs["image_bytes"]).tolist() == [b"a", b"b"]
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString()
    for record in tf.data.TFRecordDataset(str(base / "1560" / warmup.RECORD)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.SerializeToString(deterministic=True) == record.numpy()
        assert len(log.predict_log.request.inputs) == 1


def test_a_record_that_fails_keeps_a_server_from_loading(base, tmp_path):
    shutil.copytree(base / "1560", tmp_path / "1")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "serve_bytes"
    log.predict_log.request.inputs["image"].CopyFrom(tf.make_tensor_proto([b""]))
    with tf.io.TFRecordWriter(str(tmp_path / "1" / warmup.RECORD)) as file:
        file.write(log.SerializeToString())
    with pytest.raises(ValueError, match="input keys"):
        Servable("encoder", tmp_path)


def test_the_servers_configuration_can_be_read():
    text = (ROOT / "tools" / "serve" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("encoder", "/models/encoder")
    assert f":{model.base_path}:ro" in PAGE
