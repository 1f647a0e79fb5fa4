"""Blocks of embeddings on disk."""

import hashlib
import io
import pathlib
from typing import NamedTuple, Optional

import numpy as np

from msbreg_tf.errors import note
from msbreg_tf.files.whole import write_whole

BLOCK = ".block"  # ends the name of a block's file
_CHECKSUM_BYTES = 32
Arrays = dict[str, np.ndarray]


class BlockFiles(NamedTuple):
    """The blocks of a job in a folder, each whole and with a checksum; can be sent to a process.

    Attributes:
      folder: of the store.
      key: of its job.
    """

    folder: str
    key: str

    def _path(self, number: int) -> pathlib.Path:
        return pathlib.Path(self.folder) / f"{number:06}{BLOCK}"

    def _checksum(self, number: int, payload: bytes) -> bytes:
        return hashlib.sha256(f"{self.key} {number} ".encode() + payload).digest()

    def read(self, number: int) -> Optional[Arrays]:
        """The arrays of a block as they were written, or None if it is missing or damaged."""
        path = self._path(number)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            note(f"{path}: can't be read ({error.strerror}); computing it again.")
            return None
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if checksum != self._checksum(number, payload):
            note(f"{path} is damaged; computing it again.")
            return None
        with np.load(io.BytesIO(payload)) as arrays:
            return dict(arrays)

    def write(self, number: int, **arrays: np.ndarray) -> None:
        """Keeps a block, whole or not at all; raises OSError."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        payload = buffer.getvalue()
        content = self._checksum(number, payload) + payload
        write_whole(self._path(number), lambda file: file.write(content))
