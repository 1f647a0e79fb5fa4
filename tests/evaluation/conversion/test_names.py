import re

import numpy as np
import pytest

from msbreg_tf.evaluation.conversion.names import (
    architecture_of,
    from_detectron2,
    state_shapes,
    to_detectron2,
)
from msbreg_tf.networks.resnet import build_resnet
from msbreg_tf.networks.torch_names import from_torch, torchvision_weights

from .random_weights import random_variables


@pytest.mark.parametrize(("architecture", "count"), [("resnet18", 100), ("resnet50", 265)])
def test_every_variable_has_its_name_and_shape_in_torchvision(architecture, count):
    """The names, shapes and number that torchvision's own models have, less fc and counters."""
    variables = {v.name: v.numpy() for v in build_resnet(architecture).variables}
    weights = torchvision_weights(variables)
    assert len(weights) == len(variables) == count
    assert {name: value.shape for name, value in weights.items()} == state_shapes(architecture)
    assert architecture_of(weights, "timm") == architecture
    parameters = sum(v.size for n, v in weights.items() if "running" not in n)
    assert parameters == {"resnet18": 11_176_512, "resnet50": 23_508_032}[architecture]
    assert all(value.flags.c_contiguous for value in weights.values())


def test_kernels_are_transposed_and_nothing_else_is_changed():
    kernel = np.arange(3 * 3 * 2 * 5, dtype=np.float32).reshape(3, 3, 2, 5)
    weights = torchvision_weights(
        {"layer1.0.conv1/kernel:0": kernel, "bn1/moving_variance:0": np.float32([1, 2])}
    )
    assert [*weights] == ["bn1.running_var", "layer1.0.conv1.weight"]
    assert weights["layer1.0.conv1.weight"].shape == (5, 2, 3, 3)
    assert weights["layer1.0.conv1.weight"][4, 1, 0, 2] == kernel[0, 2, 1, 4]
    np.testing.assert_array_equal(weights["bn1.running_var"], [1, 2])


@pytest.mark.parametrize(
    ("torchvision", "detectron2"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_mean", "stem.conv1.norm.running_mean"),
        ("layer1.0.conv3.weight", "res2.0.conv3.weight"),
        ("layer4.2.bn2.bias", "res5.2.conv2.norm.bias"),
        ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
        ("layer2.0.downsample.1.running_var", "res3.0.shortcut.norm.running_var"),
    ],
)
def test_detectron2s_names(torchvision, detectron2):
    assert to_detectron2(torchvision) == detectron2


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_detectron2s_names_are_unique_and_lead_back(architecture):
    names = [*state_shapes(architecture)]
    theirs = [to_detectron2(name) for name in names]
    assert len(set(theirs)) == len(names)
    assert [from_detectron2(name) for name in theirs] == names


def test_what_has_no_counterpart_is_refused_in_one_line():
    weights = torchvision_weights(random_variables("resnet18"))
    narrow = {**weights, "conv1.weight": weights["conv1.weight"][:16]}
    small = {**weights, "conv1.weight": weights["conv1.weight"][..., :3, :3]}
    normed = {n.name: n.numpy() for n in build_resnet("resnet18", width=4, norm="layer").variables}
    for refused, message in (
        (narrow, "it has no ResNet with encoder_width=16, only with 64. "),
        (small, "it has no ResNet with stem=cifar, only with a 7×7 convolution and a max-pool. "),
        (torchvision_weights(normed), "it has no ResNet with norm=layer or group_ws, only with "),
        ({}, "the encoder is no ResNet of this package. "),
    ):
        with pytest.raises(ValueError, match=re.escape(f"--to=torchvision: {message}")) as caught:
            architecture_of(refused, "torchvision")
        assert str(caught.value).endswith(
            "Use --to=onnx, tflite or openvino, which take every encoder."
        )


def test_a_tensor_that_is_missing_left_over_or_of_another_shape_is_named():
    weights = torchvision_weights(random_variables("resnet18"))
    more = {**weights, "fc.weight": np.zeros([10, 512], np.float32)}
    with pytest.raises(ValueError, match=r"fc.weight is \(10, 512\), and resnet18's is not there"):
        architecture_of(more, "timm")
    less = {name: value for name, value in weights.items() if name != "layer4.1.bn2.bias"}
    with pytest.raises(ValueError, match=r"layer4.1.bn2.bias is missing, .* is \(512,\)"):
        architecture_of(less, "timm")
    other = {**weights, "layer2.1.conv1.weight": np.zeros([128, 64, 3, 3], np.float32)}
    with pytest.raises(ValueError, match=r"layer2\.1\.conv1\.weight"):
        architecture_of(other, "timm")


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_there_and_back_is_exact(architecture):
    """What `tools.convert` writes is what `--init_from` reads."""
    variables = random_variables(architecture)
    ours, _, unused = from_torch(torchvision_weights(variables))
    assert unused == []
    assert ours.keys() == variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(ours[name], value)
