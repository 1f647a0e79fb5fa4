"""The formats that weights are read from. Nothing here imports NumPy before it is needed."""

import collections
import importlib
import os
from typing import TYPE_CHECKING, NamedTuple, Optional

from msbreg_tf.errors import note
from msbreg_tf.files.tensors import limits
from msbreg_tf.files.tensors.limits import UnreadableError

if TYPE_CHECKING:
    import numpy as np


class Format(NamedTuple):
    """A row of `FORMATS`.

    Attributes:
      name: what a person is told.
      module: of this package, whose `read(path)` yields (name, dtype, array).
      of_torch: whether files of it hold torchvision's and timm's models.
    """

    name: str
    module: str
    of_torch: bool = False


_TORCH = Format("PyTorch", "torch_file", of_torch=True)
FORMATS = {
    ".safetensors": Format("safetensors", "safetensors_file", of_torch=True),
    ".pth": _TORCH,
    ".pt": _TORCH,
    ".npz": Format("npz", "npz_file"),
    ".keras": Format("Keras", "keras_file"),
}


def format_of(path: Optional[str]) -> Optional[Format]:
    """The format that a file's name tells; None if it tells none."""
    return FORMATS.get(os.path.splitext(path or "")[1].lower())


def check_file(path: str, flag: str, others: str = "") -> None:
    """Checks that there is a file of one of the formats.

    Args:
      path: given by the user.
      flag: how an error calls it.
      others: what the flag takes besides, for the message.

    Raises:
      ValueError: there is none, or its name tells another format.
    """
    if not os.path.isfile(os.path.expanduser(path)):
        raise ValueError(f"--{flag}={path}: no such file or folder. Correct the path.")
    if format_of(path) is None:
        raise ValueError(
            f"--{flag}={path}: expected {others}a run's export/<step>, or a file that ends in "
            f"{', '.join(FORMATS)}. Give one of these."
        )


def read_tensors(path: str, flag: str) -> "dict[str, np.ndarray]":
    """All tensors of a file: numbers as float32, whole numbers as they are.

    Says how many had another precision.

    Args:
      path: a file whose name ends as a key of `FORMATS`.
      flag: how an error calls it.

    Raises:
      ValueError: it can't be read, in one line.
    """
    import numpy as np

    reader = importlib.import_module(f"msbreg_tf.files.tensors.{format_of(path).module}")
    tensors: dict[str, np.ndarray] = {}
    converted: dict[str, int] = collections.Counter()
    total = 0
    try:
        for name, dtype, array in reader.read(os.path.expanduser(path)):
            if name in tensors or array.dtype.kind not in "fiub":
                what = "is there twice" if name in tensors else f"holds {dtype}, no numbers"
                raise UnreadableError(f"{name} {what}. Write it again.")
            if array.dtype.kind == "f" and dtype != "float32":
                converted[dtype] += 1
                with np.errstate(over="ignore"):  # what is too large is infinite, and refused later
                    array = array.astype(np.float32)
            tensors[name] = array
            total += array.nbytes  # several may share what the file holds once
            if total > limits.MAX_BYTES:
                raise UnreadableError(
                    f"its tensors are larger than {limits.MAX_BYTES // 2**20:,} MiB. Give a file "
                    "that holds an encoder only."
                )
    except UnreadableError as error:
        raise ValueError(f"--{flag}={path}: {' '.join(str(error).split())}") from error
    for dtype, count in converted.items():
        note(f"--{flag}={path}: {count} tensors of {dtype} were converted to float32.")
    return tensors
