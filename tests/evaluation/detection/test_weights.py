"""What is taken for the weights of a ResNet-50."""

import json
import math

import pytest

from msbreg_tf.evaluation.detection.weights import check_weights, resnet50_shapes


def write(path, shapes):
    """A .safetensors file whose tensors are all zeros, by the format's own words."""
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        offsets = [position, position + size]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        position += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + position)
    return str(path)


def test_265_tensors_of_torchvisions_names():
    shapes = resnet50_shapes()
    assert len(shapes) == 265
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert shapes["layer4.0.downsample.0.weight"] == (2048, 1024, 1, 1)
    assert shapes["layer4.2.bn3.running_var"] == (2048,)
    # torchvision's 25,557,032 parameters less 2,049,000 of the classifier, and 53,120 moving ones.
    assert sum(math.prod(shape) for shape in shapes.values()) == 23_508_032 + 53_120


def test_a_file_with_all_of_them_is_taken(tmp_path):
    check_weights("random")
    check_weights(write(tmp_path / "a.safetensors", resnet50_shapes()))
    classifier = {"fc.weight": (1000, 2048), "fc.bias": (1000,)}  # of an ImageNet model
    check_weights(write(tmp_path / "b.safetensors", {**resnet50_shapes(), **classifier}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer4.2.bn3.bias": None}, r"layer4.2.bn3.bias is missing there, and of shape 2048 in"),
        (
            {"conv1.weight": (64, 3, 3, 3)},
            r"conv1.weight is of shape 64×3×3×3 there, and of shape ",
        ),
        ({"head.weight": (10, 2048)}, r"head.weight is of shape 10×2048 there, and missing in"),
    ],
)
def test_another_network_is_refused_with_the_first_difference(tmp_path, change, said):
    shapes = {name: s for name, s in {**resnet50_shapes(), **change}.items() if s is not None}
    with pytest.raises(ValueError, match=said) as caught:
        check_weights(write(tmp_path / "w.safetensors", shapes))
    assert "of 265 tensors found" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a zip file", b"\xff" * 40, b"\2" + b"\0" * 7 + b"[]"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"--weights={path}: it is no .safetensors file"):
        check_weights(str(path))
    with pytest.raises(ValueError, match="--weights=gone: no such file"):
        check_weights("gone")
    with pytest.raises(ValueError, match="--weights is missing"):
        check_weights(None)
