"""torchvision and timm themselves load what NumPy wrote. Needs no TensorFlow:

python -m pytest --noconftest tests/evaluation/conversion/test_torchvision.py
"""

import os

import numpy as np
import pytest

from msbreg_tf.evaluation.conversion import to_timm, to_torchvision
from msbreg_tf.evaluation.conversion.target import Job
from msbreg_tf.networks.settings import IMAGENET_MEAN, IMAGENET_STD

from .page import python_under
from .random_weights import Encoder

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed here")


@pytest.fixture(scope="module", params=["resnet18", "resnet50"])
def converted(request, tmp_path_factory):
    """Name, file, pixels in 0–255, and what the twin of the file says of them."""
    path = str(tmp_path_factory.mktemp("converted") / "encoder.safetensors")
    to_torchvision.TARGET.write(Job(Encoder(request.param), "float32", None), path)
    pixels = np.random.default_rng(0).uniform(0, 255, [2, 75, 64, 3]).astype(np.float32)
    return request.param, path, pixels, to_torchvision.TARGET.load(path)(pixels)


def features(model, pixels):
    """What torchvision's own preprocessing and the model make of the pixels."""
    normalize = torchvision.transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    images = normalize(torch.from_numpy(pixels.transpose(0, 3, 1, 2)) / 255)
    with torch.no_grad():
        return model.eval()(images).numpy()


def test_the_pages_lines_load_it(converted, monkeypatch):
    name, path, pixels, expected = converted
    timm = pytest.importorskip("timm", reason="timm is not installed here")
    monkeypatch.chdir(os.path.dirname(path))
    scope = {}
    code = python_under("torchvision").replace("resnet18()", f"{name}()")
    exec(code.replace("96", "64"), scope)
    square = pixels[0, 6:70].astype(np.uint8)  # of the size already: no rounding while resizing
    prepared = torch.stack([scope["preprocess"](square)])
    with torch.no_grad():
        found = scope["model"](prepared).numpy()
    again = to_torchvision.TARGET.load(path)(square[None].astype(np.float32))
    assert difference(found, again) < 2e-6
    code = python_under("timm").replace('"resnet18"', f'"{name}"')
    exec(code.replace("encoder_timm.safetensors", "encoder.safetensors"), scope)
    assert isinstance(scope["model"], timm.models.resnet.ResNet)
    assert difference(features(scope["model"], pixels), expected) < 2e-6


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_torchvision_loads_every_tensor_and_computes_the_same(converted):
    name, path, pixels, expected = converted
    from safetensors.torch import load_file

    model = torchvision.models.get_model(name)
    model.fc = torch.nn.Identity()
    weights = load_file(path)
    model.load_state_dict(weights, strict=True)
    counters = [key for key in model.state_dict() if "num_batches_tracked" in key]
    assert len(weights) == len(model.state_dict()) - len(counters)
    assert difference(features(model, pixels), expected) < 2e-6


def test_timm_loads_it_by_name(converted):
    timm = pytest.importorskip("timm", reason="timm is not installed here")
    name, path, pixels, expected = converted
    facts = to_timm.TARGET.facts(Job(Encoder(name), "float32", None))
    scope = {"timm": timm, "FILE": path}
    exec(facts["load"], scope)
    assert difference(features(scope["model"], pixels), expected) < 2e-6
