"""Who works on a folder: a lock that ends with its process, and says whose it is."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from typing import IO, Optional

from msbreg_tf.errors import RunFailedError, note

NAME = ".lock"
_POLL_SECONDS = 0.5


class Lock:
    """The lock of a folder that exists; it is this process's until `close`, or until it dies."""

    def __init__(self, folder: str, what: str, *, wait: bool = False):
        """Takes the lock.

        Args:
          folder: its file `.lock` is made in it.
          what: the folder as its user knows it, with its flag, for messages.
          wait: whether to wait for another process that has it; else that is an error.

        Raises:
          RunFailedError: another process has it; names that one.
          OSError: the file system is full, not writable, or can't lock.
        """
        self._path = os.path.join(folder, NAME)
        self._file = self._taken()
        said = False
        while self._file is None:
            if not wait:
                raise RunFailedError(
                    f"{what}: {self._holder()} is working there. Wait for it, or choose another "
                    "folder."
                )
            if not said:
                note(f"{what}: waiting for {self._holder()}, which is working there.")
                said = True
            time.sleep(_POLL_SECONDS)
            self._file = self._taken()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def fileno(self) -> int:
        """The open file; a child that inherits it keeps the lock for as long as it lives."""
        return self._file.fileno()

    def close(self) -> None:
        """Gives the lock back."""
        self._file.close()

    def remove(self) -> None:
        """Gives the lock back and removes its file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._file.close()

    def _taken(self) -> Optional[IO[str]]:
        file = open(self._path, "a")  # noqa: SIM115 - held for as long as the lock is
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == os.stat(self._path).st_ino:
                return file
        except (BlockingIOError, FileNotFoundError):  # held, or just removed with its folder
            pass
        except OSError:
            file.close()
            raise
        file.close()
        return None

    def _holder(self) -> str:
        try:
            with open(self._path) as file:
                return file.read(100).strip() or "another process"
        except OSError:
            return "another process"


@contextlib.contextmanager
def optional_folder(folder: Optional[str], called: str) -> Iterator[Optional[str]]:
    """A folder to keep unfinished work in, held for the body; None where it can't be used.

    Args:
      folder: made if there is none; None for none. Another process that works on it is waited for.
      called: the folder with its flag, for messages.
    """
    lock = None
    if folder is not None:
        try:
            os.makedirs(folder, exist_ok=True)
            lock = Lock(folder, called, wait=True)
        except OSError as error:
            note(f"{called}: can't be used ({error.strerror}); going on without it.")
    try:
        yield folder if lock else None
    finally:
        if lock:
            lock.close()
