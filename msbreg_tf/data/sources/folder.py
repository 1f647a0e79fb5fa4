"""Any folder of images: read on demand, broken files replaced and reported."""

import atexit
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Optional

import numpy as np
import tensorflow as tf
from absl import logging

from msbreg_tf.data.images.decoding import read_and_decode
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.records import LabelledRecords, records_of_files
from msbreg_tf.data.sources.source import Source, permutation
from msbreg_tf.files.whole import fingerprint

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def find_images(folder: pathlib.Path) -> list[str]:
    """Paths of all images below `folder`, in the order of their relative paths.

    Images are known by their extensions, in any case. Linked folders are followed, once each; names
    that begin with a dot are left out.
    """
    found, visited = [], set()

    def unreadable(error: OSError):
        logging.warning("%s: can't be read and is left out (%s).", error.filename, error.strerror)

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        # Sorted here too, so that of two links to one folder it is always the same that is read.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.join(parent, name)
            for name in files
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found, key=lambda path: os.path.relpath(path, folder).replace(os.sep, "/"))


def no_images(folder: str, needs: str) -> ValueError:
    """The error of a folder in which no file has an image's extension.

    Args:
      folder: as the user wrote it.
      needs: what to give instead.
    """
    return ValueError(
        f"--data_dir={folder}: no file below it ends in {', '.join(EXTENSIONS)}. {needs}"
    )


class FolderSource(Source):
    """Image files; the record is the path below the folder, so that a moved folder is the same.

    A file that cannot be read or decoded never stops a run and never moves the others: its place is
    taken by another image, chosen by its path alone. So resuming stays exact.
    """

    image_shape = None

    def __init__(self, name: str, folder: pathlib.Path, paths: Sequence[str]):
        """Keeps `paths` and looks for one good file among them.

        Args:
          name: for logs.
          folder: the common root.
          paths: files below `folder`, in a fixed order.

        Raises:
          ValueError: none of them can be decoded.
        """
        self.name = name
        self.num_images = len(paths)
        self._root = os.fsencode(folder) + b"/"
        encoded = [os.fsencode(os.path.relpath(path, folder)) for path in paths]
        self._digest = fingerprint(b"\0".join(encoded))
        with tf.device("CPU"):
            self._paths = tf.constant(np.array(encoded, dtype=object), tf.string)
        self._log: Optional[str] = None
        self._broken_at_start: list[bytes] = []
        self._good_path = self._first_good(encoded)

    @property
    def fingerprint(self):
        return f"{super().fingerprint}, names {self._digest}"

    def ordered(self, seed, first=0):
        order = permutation(self.num_images, seed)[first:]
        indices = tf.data.Dataset.from_tensor_slices(order)
        return indices.map(lambda index: (index, tf.gather(self._paths, index)))

    def decode(self, record):
        chosen = tf.strings.to_hash_bucket_fast(record, self.num_images)
        another = tf.gather(self._paths, chosen)
        candidates = tf.stack([record, another, self._good_path])
        # A candidate's turn comes only when the one before it failed.
        failed_before = tf.stack([b"", record, another])

        def attempt(path, failed):
            with tf.control_dependencies([self._report(failed)]):
                return read_and_decode(tf.strings.join([self._root, path]))

        attempts = tf.data.Dataset.from_tensor_slices((candidates, failed_before)).map(attempt)
        image = attempts.ignore_errors().take(1).get_single_element()
        image.set_shape([None, None, 3])
        return image

    def records_in_memory(self):
        return self._paths

    def log_broken_files_to(self, path):
        with open(path, "ab") as log:
            log.writelines(os.fsencode(broken) + b"\n" for broken in self.broken_files())
        self._log = path

    def broken_files(self):
        lines = list(self._broken_at_start)
        if self._log and os.path.exists(self._log):
            with open(self._log, "rb") as log:
                lines += log.read().splitlines()
        return sorted({os.fsdecode(line) for line in lines if line})

    def _log_path(self) -> str:
        """The file that graphs write names to; a temporary one if nobody has named any."""
        if self._log is None:
            folder = tempfile.mkdtemp(prefix="msbreg_broken_")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            self._log = os.path.join(folder, "paths.txt")
        return self._log

    def _report(self, path: tf.Tensor) -> tf.Tensor:
        log = "file://" + self._log_path()

        def write(broken):
            full = tf.strings.join([self._root, broken])
            with tf.control_dependencies([tf.print(full, output_stream=log)]):
                return 1

        def try_to_write():
            lines = tf.data.Dataset.from_tensors(path).map(write)
            return lines.ignore_errors().reduce(0, lambda count, one: count + one)

        # A worker of the tf.data service may have no such folder. That costs the line of the log;
        # as an error it would count as the failure of the next candidate.
        return tf.cond(path == b"", lambda: 0, try_to_write)

    def _first_good(self, paths: Sequence[bytes]) -> bytes:
        for path in paths:
            try:
                read_and_decode(tf.constant(self._root + path))
            except tf.errors.OpError:
                self._broken_at_start.append(self._root + path)
            else:
                return path
        raise ValueError(
            f"--data_dir: none of its {len(paths)} image files can be decoded, such as "
            f"{os.fsdecode(self._root + paths[0])}. Give a folder of JPEG, PNG, BMP or GIF images."
        )


def open_folder(settings: DataSettings) -> FolderSource:
    """Opens --dataset=folder.

    Raises:
      ValueError: no folder, no images, none that can be decoded, or another split than 'train'.
    """
    data_dir = _required(settings.data_dir)
    if settings.split != "train":
        raise ValueError(
            f"--split={settings.split}: --dataset=folder has no splits. Remove the flag, or give "
            "the wanted folder as --data_dir."
        )
    folder = pathlib.Path(data_dir).expanduser()
    if not folder.is_dir():
        raise ValueError(f"--data_dir={data_dir}: no such folder. Give a folder of images.")
    paths = find_images(folder)
    if not paths:
        raise no_images(data_dir, "Give a folder of images.")
    return FolderSource("folder", folder, paths)


def labelled_folder(
    dataset: str, split: str, data_dir: Optional[str], limit: Optional[int]
) -> LabelledRecords:
    """Opens a labelled split; see `table.labelled_records`."""
    data_dir = _required(data_dir)
    root = pathlib.Path(data_dir).expanduser()
    folder = root / split
    if not folder.is_dir():
        raise ValueError(
            f"--data_dir={data_dir}: no folder '{split}' in it. Its splits are folders, each with "
            "a folder of images per class."
        )
    # Collect classes over all splits, so that a split without one class keeps the others' numbers.
    classes = sorted({name for part in _subfolders(root) for name in _subfolders(root / part)})
    paths, labels = [], []
    for label, name in enumerate(classes):
        members = find_images(folder / name) if (folder / name).is_dir() else []
        paths += members
        labels += [label] * len(members)
    if not paths:
        raise ValueError(
            f"--data_dir={data_dir}: no labels. {folder} needs a folder per class, with images "
            f"whose names end in {', '.join(EXTENSIONS)}."
        )
    return records_of_files(folder, paths, labels, limit)


def place_of_split(split: str, data_dir: Optional[str]) -> tuple[str, Optional[str]]:
    """A folder has no splits, but it may have subfolders that are used as such."""
    if not data_dir:
        return split, data_dir
    inside = os.path.join(os.path.expanduser(data_dir), split)
    return "train", inside if os.path.isdir(inside) else data_dir


def _required(data_dir: Optional[str]) -> str:
    if not data_dir:
        raise ValueError("--data_dir is missing: --dataset=folder needs --data_dir=PATH.")
    return data_dir


def _subfolders(folder: pathlib.Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
