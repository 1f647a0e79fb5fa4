"""Files that appear whole or not at all, and what tells one content from another."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import IO, Any, Union

Path = Union[str, "os.PathLike[str]"]
WRITING = ".writing"  # ends the name of a file that is not whole yet


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Lets `write` fill a file beside `path`, syncs it, then puts it there in one step.

    Args:
      path: where the file shall be; an older one is replaced.
      write: gets the open binary file.

    Raises:
      OSError: it could not be written; an older file is untouched, and nothing is left behind.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}{WRITING}")
    _remove_debris(path)
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _remove_debris(path: pathlib.Path) -> None:
    """Removes what processes that are dead have left of this file."""
    start = f"{path.name}."
    for name in os.listdir(path.parent):
        pid = name.removeprefix(start).removesuffix(WRITING)
        if name == f"{start}{pid}{WRITING}" and pid.isdigit() and not _is_alive(int(pid)):
            path.with_name(name).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def write_text_whole(path: Path, text: str) -> None:
    """`write_whole` of a text in UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """`sync` of all files and folders below `folder`, and of itself."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(os.path.join(parent, name))
        sync(parent)


def sha256_of(*paths: Path) -> str:
    """SHA-256 of the contents of files, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def fingerprint(*parts: Union[bytes, str]) -> str:
    """16 hexadecimal digits that tell contents apart: SHA-256 of all parts together, cut."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()[:16]


def fingerprint_of_json(value: Any) -> str:
    """The `fingerprint` of plain JSON values, to name a file or folder by."""
    return fingerprint(json.dumps(value, sort_keys=True))
