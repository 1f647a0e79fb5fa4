"""A ResNet-50 in a .safetensors file: whether it is one, from the file's header alone."""

import json
import os
from collections.abc import Iterator
from typing import Any

RANDOM = "random"
_BLOCKS = (3, 4, 6, 3)
_LONGEST_HEADER = 10_000_000  # bytes; a hostile file could ask for more memory than there is


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    """{torchvision's name: shape} of the 265 tensors of a ResNet-50 without its classifier."""
    return dict(_tensors())


def _tensors() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "conv1.weight", (64, 3, 7, 7)
    yield from _norm("bn1", 64)
    inputs = 64
    for layer, blocks in enumerate(_BLOCKS, 1):
        width = 32 * 2**layer
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            for number, (before, after, side) in enumerate(
                ((inputs, width, 1), (width, width, 3), (width, 4 * width, 1)), 1
            ):
                yield f"{name}.conv{number}.weight", (after, before, side, side)
                yield from _norm(f"{name}.bn{number}", after)
            if block == 0:
                yield f"{name}.downsample.0.weight", (4 * width, inputs, 1, 1)
                yield from _norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)


def check_weights(weights: str) -> None:
    """Refuses what is not the weights of a ResNet-50 as torchvision names them.

    Args:
      weights: path of a .safetensors file, or "random".

    Raises:
      ValueError: no such file, or a name or shape that differs; names the first.
    """
    if not weights:
        raise ValueError(
            "--weights is missing: give a .safetensors of tools.convert --to=torchvision, or "
            f"--weights={RANDOM}."
        )
    if weights == RANDOM:
        return
    path = os.path.expanduser(weights)
    if not os.path.isfile(path):
        raise ValueError(f"--weights={weights}: no such file. Correct the path.")
    there = {
        name: tuple(entry["shape"])
        for name, entry in _header(weights, path).items()
        if name != "__metadata__" and not name.startswith("fc.")
    }
    wanted = resnet50_shapes()
    for name in [*wanted, *there]:
        if there.get(name) != wanted.get(name):
            raise ValueError(
                f"--weights={weights}: {name} is {_shown(there.get(name))} there, and "
                f"{_shown(wanted.get(name))} in a ResNet-50 ({len(there.keys() & wanted.keys())} "
                f"of {len(wanted)} tensors found). Detection takes a ResNet-50 of the usual width, "
                "by tools.convert --to=torchvision."
            )


def _header(weights: str, path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                tuple(map(int, entry["shape"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"--weights={weights}: it is no .safetensors file. Give one that tools.convert "
            "--to=torchvision wrote."
        ) from None
    return header


def _shown(shape: Any) -> str:
    return "missing" if shape is None else f"of shape {'×'.join(map(str, shape))}"
