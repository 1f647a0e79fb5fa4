"""Which files below a folder are images."""

import collections
import os
import pathlib
from collections.abc import Iterator

from msbreg_tf.data.images.decoding import is_image
from msbreg_tf.errors import note

_OF_TENSORFLOW = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif")
_OF_PILLOW = (".webp", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = _OF_TENSORFLOW + _OF_PILLOW
_FEW = 8  # extensions and names in a message


def find_images(folder: pathlib.Path) -> list[str]:
    """Paths of all images below `folder`, in the order of their relative paths.

    Images are known by their extensions, in any case; a file without one by its first bytes. Linked
    folders are followed, once each; names that begin with a dot are left out. How many other files
    there are is said in one line.
    """
    found, others = [], collections.Counter()
    for path in _files_below(folder):
        extension = os.path.splitext(path)[1].lower()
        if extension in EXTENSIONS or (not extension and is_image(first_bytes(path))):
            found.append(path)
        else:
            others[extension or "without an extension"] += 1
    if others:
        kinds = [f"{count:,} {name}" for name, count in others.most_common(_FEW)]
        more = ", …" if len(others) > _FEW else ""
        note(f"{folder}: {sum(others.values()):,} other files left out: {', '.join(kinds)}{more}.")
    return sorted(found, key=lambda path: os.path.relpath(path, folder).replace(os.sep, "/"))


def _files_below(folder: pathlib.Path) -> Iterator[str]:
    visited = set()

    def unreadable(error: OSError):
        note(f"{error.filename}: can't be read and is left out ({error.strerror}).")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        # Sorted here too, so that of two links to one folder it is always the same that is read.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in files if not name.startswith("."))


def first_bytes(path: os.PathLike) -> bytes:
    """The first 32 bytes of a file; none if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(32)
    except OSError:
        return b""


def no_images(folder: str, needs: str) -> ValueError:
    """The error of a folder in which no file is an image.

    Args:
      folder: as the user wrote it.
      needs: what to give instead.
    """
    return ValueError(
        f"--data_dir={folder}: no image in it. Their names end in {', '.join(EXTENSIONS)}, or have "
        f"no extension. {needs}"
    )
