"""Tensors of a file that `torch.save` wrote, without torch and without what it may have pickled.

The file is a zip archive: `NAME/data.pkl` is a pickle of the structure, `NAME/data/KEY` holds the
numbers of one storage. A pickle names the functions that it wants called. Of these only the three
that a state_dict needs are known here, each by a stand-in of ours; all others are refused by name,
before anything of the file has been called (Python's documentation of pickle, "Restricting
Globals").
"""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from msbreg_tf.errors import one_line
from msbreg_tf.files.tensors.limits import UnreadableError, check_archive
from msbreg_tf.files.tensors.safetensors_file import from_bytes

_MAX_PICKLE = 2**24  # a ResNet-50's has 40 kB
_STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16"},
    **{"BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32"},
    **{"ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8"},
    "BoolStorage": "bool",
}
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys that people save weights under
_REMEDY = "Save the weights alone: torch.save(model.state_dict(), 'weights.pth')."


class _Storage(NamedTuple):
    dtype: str
    key: str
    numel: int


class _Tensor(NamedTuple):
    """A tensor that is not read yet: elements offset + Σ index · stride of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Names(dict):
    """Stands in for OrderedDict; the attributes that torch gives it (`_metadata`) are dropped."""

    def __setstate__(self, state):
        pass


class _Rebuilt:
    """Stands in for torch's function of that name.

    An object without attributes, because a pickle may set those of a function: `__defaults__`.
    """

    __slots__ = ()

    def __call__(self, storage, offset, size, stride, *_) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without a storage")
        sizes, strides = (tuple(map(_whole, numbers)) for numbers in (size, stride))
        return _Tensor(storage, _whole(offset), sizes, strides)


class _Parameter:
    """Stands in for torch's function that makes a tensor a parameter."""

    __slots__ = ()

    def __call__(self, tensor, *_) -> _Tensor:
        if not isinstance(tensor, _Tensor):
            raise ValueError("a parameter without a tensor")
        return tensor


_KNOWN = {
    "collections.OrderedDict": _Names,
    "torch._utils._rebuild_tensor_v2": _Rebuilt(),
    "torch._utils._rebuild_parameter": _Parameter(),
}


def read(path: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (name, dtype, array) of the tensors of a state_dict; bfloat16 as float32.

    Raises:
      UnreadableError: another format, a file that is damaged, or one that names other code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, may_be_compressed=False)
            root = _root(archive)
            for name, tensor in _state_dict(_unpickled(archive, root)).items():
                yield name, tensor.storage.dtype, _array(archive, root, name, tensor)
    except zipfile.BadZipFile as error:
        raise UnreadableError(_why_no_archive(path, error)) from error


def _why_no_archive(path: str, error: Exception) -> str:
    with open(path, "rb") as file:
        is_old = file.read(2) in (b"\x80\x02", b"\x80\x03", b"\x80\x04")
    if not is_old:
        return f"it is damaged, or torch.save did not write it ({one_line(error)}). Fetch it again."
    return (
        "it is in the format from before PyTorch 1.6, which is not read. Write it anew where torch "
        "is: torch.save(torch.load(OLD, weights_only=True), NEW)."
    )


def _root(archive: zipfile.ZipFile) -> str:
    """The folder in the archive that everything is in."""
    roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UnreadableError(f"there is no data.pkl in it, so no torch.save wrote it. {_REMEDY}")
    order = f"{roots[0]}byteorder"
    if order in archive.namelist() and archive.read(order).strip() != b"little":
        raise UnreadableError("it was written on a big-endian machine. Write it on another.")
    return roots[0]


def _unpickled(archive: zipfile.ZipFile, root: str) -> Any:
    member = archive.getinfo(f"{root}data.pkl")
    if member.file_size > _MAX_PICKLE:
        raise UnreadableError(f"its data.pkl is larger than {_MAX_PICKLE // 2**20} MiB. {_REMEDY}")
    try:
        with archive.open(member) as file:
            return _Unpickler(file).load()
    except UnreadableError:
        raise
    except Exception as error:  # a pickle that is damaged, or means harm, can raise anything
        raise UnreadableError(
            f"its data.pkl can't be read ({one_line(error)}). {_REMEDY}"
        ) from error


class _Unpickler(pickle.Unpickler):
    """Knows dictionaries, lists, numbers, texts and tensors that are not read yet."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for what the pickle names."""
        if module == "torch" and name in _STORAGES:
            return name  # a text: nothing that could be called
        if f"{module}.{name}" not in _KNOWN:
            shown = one_line(ValueError(f"{module}.{name}"), 60)
            raise UnreadableError(
                f"it is no plain state_dict: it asks for {shown}, and no code of a file is run. "
                f"{_REMEDY}"
            )
        return _KNOWN[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ('storage', its type, key, device, number of elements)."""
        kind, storage, key, _, numel = pid
        if kind != "storage" or storage not in _STORAGES or not isinstance(key, str):
            raise ValueError(f"no storage: {pid}")
        return _Storage(_STORAGES[storage], key, _whole(numel))


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number} where a number of elements was expected")
    return number


def _state_dict(content: Any) -> Mapping[str, _Tensor]:
    """The tensors by name: of the pickled dictionary, or of one that is in it by a known key."""
    outer = content if isinstance(content, dict) else {}
    for inner in (outer, *(outer.get(key) for key in _WRAPPERS)):
        tensors = {
            name: tensor
            for name, tensor in (inner.items() if isinstance(inner, dict) else ())
            if isinstance(name, str) and isinstance(tensor, _Tensor)
        }
        if tensors:
            return tensors
    raise UnreadableError(f"there is no state_dict in it. {_REMEDY}")


def _array(archive: zipfile.ZipFile, root: str, name: str, tensor: _Tensor) -> np.ndarray:
    """The numbers of a tensor, read from the archive; a copy."""
    storage, offset, size, stride = tensor
    try:
        numbers = from_bytes(archive.read(f"{root}data/{storage.key}"), storage.dtype)
    except Exception as error:  # no such part, or one that is cut off
        raise UnreadableError(
            f"the numbers of {name} can't be read ({one_line(error)}). Fetch or write it again."
        ) from error
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    count = int(np.prod(size, dtype=object))
    fits = len(size) == len(stride) and last < len(numbers) and count <= len(numbers)
    if len(numbers) != storage.numel or (count and not fits):
        raise UnreadableError(
            f"{name} has other places than its {len(numbers)} numbers. Fetch or write it again."
        )
    steps = [step * numbers.itemsize for step in stride]
    start = numbers[offset:] if count else numbers[:0]
    return np.lib.stride_tricks.as_strided(start, size, steps, writeable=False).copy()
