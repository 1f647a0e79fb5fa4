"""Tensors of a `.safetensors` file: a JSON header of shapes and places, then the numbers."""

import os
from collections.abc import Iterator

import numpy as np

from msbreg_tf.errors import one_line
from msbreg_tf.files.tensors.limits import MAX_BYTES, UnreadableError

_DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"},
}


def read(path: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (name, dtype, array) of every tensor; bfloat16 as float32.

    Raises:
      UnreadableError: the package is missing, or the header does not fit the file.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise UnreadableError(
            "the package safetensors is not installed. Install it: pip install safetensors."
        ) from None
    if os.path.getsize(path) > MAX_BYTES:
        raise UnreadableError(f"it is larger than {MAX_BYTES // 2**20:,} MiB. Give an encoder's.")
    with open(path, "rb") as file:
        contents = file.read()
    try:
        tensors = deserialize(contents)  # checks every place against the length of the file
    except SafetensorError as error:
        raise UnreadableError(
            f"it is damaged, or no safetensors file ({one_line(error)}). Fetch or write it again."
        ) from error
    for name, tensor in tensors:
        dtype = _DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise UnreadableError(
                f"{name} is of type {tensor['dtype']}, which can't be read. Save it as float32."
            )
        yield name, dtype, from_bytes(tensor["data"], dtype).reshape(tensor["shape"])


def from_bytes(data: bytes, dtype: str) -> np.ndarray:
    """Little-endian bytes as an array [n]; NumPy has no bfloat16, so that becomes float32."""
    if dtype != "bfloat16":
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))
    # The upper half of a float32.
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
