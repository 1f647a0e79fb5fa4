"""The NumPy twin computes what Keras does, and sees the mistakes that a conversion can make."""

import functools

import numpy as np
import pytest

from msbreg_tf.evaluation.conversion import twin
from msbreg_tf.evaluation.conversion.to_detectron2 import PIXEL_MEAN, PIXEL_STD
from msbreg_tf.evaluation.conversion.to_torchvision import WEIGHTS_BAR
from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.networks.settings import IMAGENET_MEAN, IMAGENET_STD
from msbreg_tf.networks.torch_names import torchvision_weights

BAR = WEIGHTS_BAR["float32"].difference


@functools.lru_cache
def shaken(architecture):
    """Weights of a narrow ResNet with batch norms far from the identity, and its features."""
    model, rng = build_resnet(architecture, width=4), np.random.default_rng(0)
    for variable in model.variables:
        if "gamma" in variable.name or "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "kernel" not in variable.name:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    weights = torchvision_weights({v.name: v.numpy() for v in model.variables})
    return weights, model(images(), training=False).numpy()


def images(height=49, width=70):
    return np.random.default_rng(1).uniform(0, 255, [6, height, width, 3]).astype(np.float32)


def difference(weights, expected, pixels=None, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    pixels = images() / 255 if pixels is None else pixels
    found = twin.pooled_features(weights, pixels, mean, std)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_it_agrees_with_keras_and_sees_every_mistake(architecture, monkeypatch):
    weights, expected = shaken(architecture)
    assert difference(weights, expected) < 3e-6
    assert difference(weights, expected, images(), PIXEL_MEAN, PIXEL_STD) < 3e-6
    # What follows must be beyond the bar by a factor, or a file with the mistake would be kept.
    assert difference(weights, expected, images()[..., ::-1] / 255) > 10 * BAR
    assert difference(weights, expected, mean=(0, 0, 0), std=(1, 1, 1)) > 10 * BAR
    name = "layer2.0.conv2.weight"
    turned = {**weights, name: weights[name].transpose(0, 1, 3, 2)}
    assert difference(turned, expected) > 10 * BAR
    exchanged = {**weights, "bn1.weight": weights["bn1.bias"], "bn1.bias": weights["bn1.weight"]}
    assert difference(exchanged, expected) > 10 * BAR
    monkeypatch.setattr(twin, "_EPSILON", 1e-3)
    assert difference(weights, expected) > 10 * BAR


def test_the_stride_is_in_the_3x3_convolution(monkeypatch):
    """Detectron2's default has it in the first 1×1; the shapes are the same."""
    weights, expected = shaken("resnet50")
    conv = twin._conv

    def strided_first(weights, x, name, stride):
        if name.endswith(".0.conv1") and name[5] != "1":
            stride = 2
        elif name.endswith("conv2"):
            stride = 1
        return conv(weights, x, name, stride)

    monkeypatch.setattr(twin, "_conv", strided_first)
    assert difference(weights, expected) > 10 * BAR
