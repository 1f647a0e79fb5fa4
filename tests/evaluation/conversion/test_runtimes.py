"""ONNX Runtime and OpenVINO compute what the export does; `make test-convert` has them."""

import importlib.util
import json
import os

import numpy as np
import pytest

from msbreg_tf.evaluation.conversion import to_onnx, to_openvino
from msbreg_tf.evaluation.conversion.convert import Order, convert
from msbreg_tf.evaluation.exporting import export_encoder
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.networks.resnet import build_resnet
from tests.evaluation.exports import save_tiny

from .page import python_under


def is_missing(*modules):
    return any(importlib.util.find_spec(module) is None for module in modules)


needs_onnx = pytest.mark.skipif(
    is_missing("tf2onnx", "onnx", "onnxruntime"), reason="tf2onnx or ONNX Runtime is missing here"
)
needs_openvino = pytest.mark.skipif(is_missing("openvino"), reason="OpenVINO is missing here")
SIZE = 48
KINDS = [
    {"width": 8},
    {"width": 8, "stem": "cifar", "norm": "layer"},
    {"width": 8, "stem": "cifar", "norm": "group_ws"},
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.get("norm", "batch"))
def encoder(request, tmp_path_factory):
    """A small export of every norm."""
    model, rng = (
        build_resnet("resnet18", image_size=SIZE, **request.param),
        np.random.default_rng(0),
    )
    for variable in model.variables:
        if "kernel" not in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    folder = str(tmp_path_factory.mktemp("export") / "3")
    return load_encoder(export_encoder(model, folder, image_size=SIZE, metadata={}))


def check_every_size(run, encoder):
    rng = np.random.default_rng(1)
    for shape in ((1, 48, 48), (2, 96, 96), (3, 203, 261), (2, 40, 150), (1, 1, 1), (2, 500, 7)):
        images = rng.uniform(0, 255, (*shape, 3)).astype(np.float32)
        expected, found = encoder.embed(images), run(images)
        # Norms over an image of one colour divide by a variance of nearly nothing.
        bar = 1e-4 if shape == (1, 1, 1) else 1e-5
        assert np.abs(found - expected).max() < bar * np.abs(expected).max(), shape
    images[1, 250, 3, 2] = np.nan
    assert np.isnan(run(images)).all(axis=1).tolist() == [False, True]
    assert run(images[:0]).shape == (0, encoder.feature_size)


def order(tmp_path, to, name):
    return Order(to, "float32", str(tmp_path / name), None, 4, 100)


@needs_onnx
def test_onnx(encoder, tmp_path, monkeypatch):
    import onnx

    asked = order(tmp_path, "onnx", "encoder.onnx")
    card = convert(encoder, asked)
    assert card["versions"].keys() >= {"tf2onnx", "onnx", "onnxruntime"}
    check_every_size(to_onnx.TARGET.load(asked.output), encoder)
    model = onnx.load(asked.output)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [17]
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(python_under("ONNX Runtime"), scope)
    assert scope["features"].shape == (2, encoder.feature_size)
    (image,), (embedding,) = model.graph.input, model.graph.output
    assert (image.name, embedding.name) == ("image", "embedding")
    axes = [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim]
    assert axes == ["batch", "height", "width", 3]
    assert {p.key: p.value for p in model.metadata_props}["export"] == encoder.fingerprint


@needs_onnx
def test_what_tf2onnx_can_not_translate_is_not_kept(tmp_path):
    """tf2onnx writes a file all the same, which no runtime loads."""
    foreign = load_encoder(save_tiny(tmp_path / "foreign", metadata={"image_size": 16}))
    with pytest.raises(RuntimeError, match=r"ONNX Runtime failed .*Nothing is kept"):
        convert(foreign, order(tmp_path, "onnx", "a.onnx"))
    assert os.listdir(tmp_path) == ["foreign"]


@needs_openvino
def test_openvino(encoder, tmp_path, monkeypatch):
    asked = order(tmp_path, "openvino", "encoder.xml")
    convert(encoder, asked)
    assert sorted(os.listdir(tmp_path)) == ["encoder.bin", "encoder.xml", "encoder.xml.json"]
    with open(asked.output + ".json") as file:
        assert json.load(file)["files"].keys() == {"encoder.bin", "encoder.xml"}
    check_every_size(to_openvino.TARGET.load(asked.output), encoder)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(python_under("OpenVINO"), scope)
    assert scope["features"].shape == (2, encoder.feature_size)
