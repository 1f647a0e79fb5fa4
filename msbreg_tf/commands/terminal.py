"""What a command prints: it never ends the command, and libraries' notices are left out of it."""

import contextlib
import io
import os
import subprocess
import sys

# Lines of C++ libraries that name no file and ask nobody to do anything: notes and warnings of
# absl, XLA and TensorFlow (fatal ones begin with F), and what libjpeg and libpng say of broken
# images, which our own messages name.
_NOISE = "|".join(
    (
        "^WARNING: All log messages before absl::InitializeLog",
        "^[IWE][0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]",
        "^[0-9-]{10} [0-9:.]{15}: [IWE] ",
        "JPEG library|Corrupt JPEG data|Premature end of JPEG|Invalid SOS parameters|^libpng ",
    )
)


class _Forgiving(io.RawIOBase):
    """A file descriptor whose reader may leave, as `| head` does."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return os.isatty(self._descriptor)

    def write(self, data):
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._descriptor)
            return len(data)


def prepare() -> None:
    """Makes stdout and stderr safe to print to; leaves a test's own streams alone.

    A character that the terminal's encoding lacks is escaped.
    """
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _text(sys.stdout.fileno(), sys.stdout.encoding)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        own = os.dup(sys.stderr.fileno())
        _filter_libraries(sys.stderr.fileno())
        sys.stderr = _text(own, sys.stderr.encoding)


def _text(descriptor: int, encoding: str) -> io.TextIOWrapper:
    writer = io.BufferedWriter(_Forgiving(descriptor))
    return io.TextIOWrapper(
        writer, encoding, errors="backslashreplace", line_buffering=True, write_through=False
    )


def _filter_libraries(descriptor: int) -> None:
    """Sends what C++ code writes there through a filter of its own process.

    So the last words of a process that crashes are not lost.
    """
    with contextlib.suppress(OSError):  # without grep there is noise
        grep = subprocess.Popen(
            ["grep", "--line-buffered", "-v", "-E", _NOISE],
            stdin=subprocess.PIPE,
            stdout=descriptor,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C is not for it
        )
        os.dup2(grep.stdin.fileno(), descriptor)
        grep.stdin.close()
        grep.returncode = 0  # it ends after us; nobody waits for it
