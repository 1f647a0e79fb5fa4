"""The weights of an encoder, by name, and how they get into a network."""

import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np
from tensorflow import keras

from msbreg_tf.files.tensors.table import format_of, read_tensors
from msbreg_tf.files.whole import fingerprint, sha256_of
from msbreg_tf.networks.torch_names import from_torch

_NAMED = 6  # unused tensors in a message


@dataclasses.dataclass(frozen=True)
class EncoderWeights:
    """Weights that a network may start from.

    Attributes:
      path: as the user gave it.
      source: the format, in words.
      values: {name of the variable: float array}.
      theirs: {name of the variable: name in the file}, where they differ.
      unused: names in the file of what is not of the encoder.
      file_digest: 16 hexadecimal digits of the file's SHA-256; None of a folder.
    """

    path: str
    source: str
    values: Mapping[str, np.ndarray]
    theirs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unused: Sequence[str] = ()
    file_digest: Optional[str] = None

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, of names and values: the same in whatever format they came."""
        named = sorted(self.values.items())
        return fingerprint(*(f"{name} {w.shape}\0".encode() + w.tobytes() for name, w in named))

    def described(self) -> str:
        """'100 weights of resnet18.pth (PyTorch, SHA-256 f37072fd…; not used: fc.bias)'."""
        facts = self.source
        if self.file_digest is not None:
            facts += f", SHA-256 {self.file_digest}…"
        if self.unused:
            facts += f"; not used: {_listed(self.unused)}"
        return f"{len(self.values)} weights of {self.path} ({facts})"

    def put_into(self, encoder: keras.Model, flag: str, remedy: str) -> None:
        """Gives the variables of `encoder` these values.

        Args:
          encoder: with variables of the same names and shapes.
          flag: how an error calls these weights.
          remedy: what it advises, a sentence.

        Raises:
          ValueError: it is another encoder; names the first variable that differs.
        """
        variables = {variable.name: variable for variable in encoder.variables}
        here = {name: tuple(variable.shape) for name, variable in variables.items()}
        there = {name: value.shape for name, value in self.values.items()}
        names = sorted(here.keys() | there.keys())
        differing = [name for name in names if here.get(name) != there.get(name)]
        if differing:
            first = differing[0]
            shown = f"{first} ({self.theirs[first]})" if first in self.theirs else first
            raise ValueError(
                f"--{flag}={self.path}: another encoder: {len(differing)} of {len(names)} weights "
                f"differ, first {shown}, which is {_shown(there.get(first))} there and "
                f"{_shown(here.get(first))} here. {remedy}"
            )
        for name, variable in variables.items():
            variable.assign(self.values[name])


def read_weights(path: str, flag: str) -> EncoderWeights:
    """The weights in a file: torchvision's or timm's of a ResNet, or our own by our names.

    Args:
      path: of a format of `files/tensors/table.py`.
      flag: how an error calls it.

    Raises:
      ValueError: it can't be read, or holds no weights of an encoder; in one line.
    """
    tensors = read_tensors(path, flag)
    theirs, unused = {}, []
    if not any("/" in name for name in tensors):  # else they have our names
        try:
            tensors, theirs, unused = from_torch(tensors)
        except ValueError as error:
            raise ValueError(f"--{flag}={path}: {error}") from error
    if not tensors:
        raise ValueError(
            f"--{flag}={path}: no tensor in it is named as those of a ResNet of torchvision or timm"
            f" ('layer1.0.conv1.weight'), only {_listed(unused) or 'none'}. Give such a file."
        )
    for name, array in tensors.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            what = f"is {array.dtype}" if array.dtype != np.float32 else "is not finite everywhere"
            raise ValueError(
                f"--{flag}={path}: {theirs.get(name, name)} {what}; expected finite numbers of a "
                "floating-point type. Save the weights of the trained network."
            )
    digest = sha256_of(os.path.expanduser(path))[:16]
    return EncoderWeights(path, format_of(path).name, tensors, theirs, unused, digest)


def _listed(names: Sequence[str]) -> str:
    """Names, those that end alike in every layer counted, and of many the first."""
    counters = [name for name in names if name.endswith("num_batches_tracked")]
    shown = [name for name in names if name not in counters]
    more = [f"and {len(shown) - _NAMED} more"] if len(shown) > _NAMED else []
    counted = [f"{len(counters)} num_batches_tracked"] if counters else []
    texts = [re.sub(r"\s+", " ", name)[:80] for name in shown[:_NAMED]]
    return ", ".join([*texts, *more, *counted])


def _shown(shape: Optional[tuple[int, ...]]) -> str:
    return "missing" if shape is None else "×".join(map(str, shape)) or "a number"
