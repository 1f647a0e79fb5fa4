"""Tensors of an `.npz` file, NumPy's archive of arrays."""

import zipfile
from collections.abc import Iterator

import numpy as np

from msbreg_tf.errors import one_line
from msbreg_tf.files.tensors.limits import UnreadableError, check_archive


def read(path: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (name, dtype, array) of every array.

    Raises:
      UnreadableError: it is damaged, too large, or holds objects, which only a pickle could make.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, may_be_compressed=True)
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                array = arrays[name]
                yield name, str(array.dtype), array
    except UnreadableError:
        raise
    except Exception as error:  # a header or an archive that is damaged can raise anything
        raise UnreadableError(
            f"it is damaged, or no archive of plain arrays ({one_line(error)}). Write it with "
            "numpy.savez."
        ) from error
