"""Which encoders torchvision's ResNets can hold, and Detectron2's names of their tensors."""

import re
from collections.abc import Mapping

import numpy as np

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
_KERNELS = {"resnet18": (3, 3), "resnet50": (1, 3, 1)}  # of the convolutions of a block
_WIDTH = 64
_OTHERS = "Use --to=onnx, tflite or openvino, which take every encoder."

Weights = Mapping[str, np.ndarray]


def architecture_of(weights: Weights, target: str) -> str:
    """'resnet18' or 'resnet50', all of whose tensors are there, by name and shape.

    Args:
      weights: by torchvision's names.
      target: the library that shall load them, for messages.

    Raises:
      ValueError: the library has no such network.
    """
    stem = weights.get("conv1.weight")
    if stem is None or stem.ndim != 4:
        raise ValueError(f"--to={target}: the encoder is no ResNet of this package. {_OTHERS}")
    if "bn1.running_mean" not in weights:
        raise _no_counterpart(target, "norm=layer or group_ws", "only with batch norm")
    if stem.shape[2] != 7:
        raise _no_counterpart(target, "stem=cifar", "only with a 7×7 convolution and a max-pool")
    if stem.shape[0] != _WIDTH:
        raise _no_counterpart(target, f"encoder_width={stem.shape[0]}", f"only with {_WIDTH}")
    architecture = "resnet50" if "layer1.0.conv3.weight" in weights else "resnet18"
    expected = state_shapes(architecture)
    found = {name: value.shape for name, value in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"--to={target}: the encoder's {name} is {found.get(name, 'missing')}, and "
                f"{architecture}'s is {expected.get(name, 'not there')}. {_OTHERS}"
            )
    return architecture


def _no_counterpart(target: str, what: str, only: str) -> ValueError:
    return ValueError(f"--to={target}: it has no ResNet with {what}, {only}. {_OTHERS}")


def state_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """{name: shape} of torchvision's model without `fc` and `num_batches_tracked`.

    100 tensors of resnet18, 265 of resnet50.
    """
    shapes = _conv_and_norm("conv1", "bn1", 3, _WIDTH, 7)
    kernels = _KERNELS[architecture]
    growth = 4 if len(kernels) == 3 else 1  # of channels, in the last convolution of a bottleneck
    channels = _WIDTH
    for stage, blocks in enumerate(_BLOCKS[architecture]):
        inside = _WIDTH * 2**stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            if block == 0 and (stage > 0 or growth > 1):
                down = f"{name}.downsample"
                shapes |= _conv_and_norm(f"{down}.0", f"{down}.1", channels, inside * growth, 1)
            for number, kernel in enumerate(kernels, start=1):
                out = inside * growth if number == len(kernels) else inside
                conv, norm = f"{name}.conv{number}", f"{name}.bn{number}"
                shapes |= _conv_and_norm(conv, norm, channels, out, kernel)
                channels = out
    return shapes


def _conv_and_norm(conv: str, norm: str, inputs: int, outputs: int, kernel: int):
    shapes = {f"{conv}.weight": (outputs, inputs, kernel, kernel)}
    return shapes | {f"{norm}.{role}": (outputs,) for role in _BATCH_NORM}


def to_detectron2(name: str) -> str:
    """'layer1.0.bn2.bias' → 'res2.0.conv2.norm.bias'; the first layers are in 'stem.'."""
    name = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", name)
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    stage = re.match(r"layer(\d)\.(.*)", name)
    return f"res{int(stage[1]) + 1}.{stage[2]}" if stage else f"stem.{name}"


def from_detectron2(name: str) -> str:
    """The inverse of `to_detectron2`."""
    name = re.sub(r"\bconv(\d)\.norm\.", r"bn\1.", name.removeprefix("stem."))
    name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
    stage = re.match(r"res(\d)\.(.*)", name)
    return f"layer{int(stage[1]) - 1}.{stage[2]}" if stage else name
