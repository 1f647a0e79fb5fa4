"""Any folder of images: read on demand, broken files replaced and reported."""

import atexit
import concurrent.futures
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import (
    decode_reduced,
    is_decoded_in_graph,
    is_image,
    read_and_decode,
)
from msbreg_tf.data.images.jpeg import read_sound_jpeg
from msbreg_tf.data.settings import MEGAPIXELS, DataSettings
from msbreg_tf.data.sources.image_files import find_images, first_bytes, no_images
from msbreg_tf.data.sources.records import LabelledRecords, records_of_files
from msbreg_tf.data.sources.source import Source, permutation
from msbreg_tf.errors import NoLabelsError, note
from msbreg_tf.files.whole import fingerprint


class FolderSource(Source):
    """Image files; the record is the path below the folder, so that a moved folder is the same.

    A file that cannot be read or decoded never stops a run and never moves the others: its place is
    taken by another image, chosen by its path alone. So resuming stays exact.
    """

    image_shape = None

    def __init__(
        self,
        name: str,
        folder: pathlib.Path,
        paths: Sequence[str],
        megapixels: float = MEGAPIXELS,
    ):
        """Keeps `paths` and looks for one good file among them.

        Args:
          name: for logs.
          folder: the common root.
          paths: files below `folder`, in a fixed order.
          megapixels: larger images count as broken.

        Raises:
          ValueError: none of them can be decoded.
        """
        self.name = name
        self.num_images = len(paths)
        self._megapixels = megapixels
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
        image = self._first_that_works(record, read_and_decode)
        image.set_shape([None, None, 3])
        return image

    def decode_reduced(self, record, reduce):
        path = tf.strings.join([self._root, record])
        jpeg, stored_size = read_sound_jpeg(path, reduce, self._megapixels)

        def attempt(path, megapixels):
            return decode_reduced(tf.io.read_file(path), reduce, megapixels)

        image, size = tf.cond(
            tf.size(jpeg) > 0,
            lambda: (jpeg, stored_size),
            lambda: self._first_that_works(record, attempt),
        )
        image.set_shape([None, None, 3])
        return image, size

    def _first_that_works(self, record, decode):
        """What `decode` makes of a path and the limit of megapixels."""
        chosen = tf.strings.to_hash_bucket_fast(record, self.num_images)
        another = tf.gather(self._paths, chosen)
        candidates = tf.stack([record, another, self._good_path])
        # A candidate's turn comes only when the one before it failed.
        failed_before = tf.stack([b"", record, another])

        def attempt(path, failed):
            with tf.control_dependencies([self._report(failed)]):
                return decode(tf.strings.join([self._root, path]), self._megapixels)

        attempts = tf.data.Dataset.from_tensor_slices((candidates, failed_before)).map(attempt)
        return attempts.ignore_errors().take(1).get_single_element()

    def records_in_memory(self):
        return self._paths

    def needs_python(self):
        def by_pillow(path):
            start = first_bytes(self._root + path)
            return is_image(start) and not is_decoded_in_graph(start)

        paths = self._paths.numpy()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = pool.map(by_pillow, paths)
            return [os.fsdecode(path) for path, needed in zip(paths, found) if needed]

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
                read_and_decode(tf.constant(self._root + path), self._megapixels)
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
    if settings.split != "train":
        raise ValueError(
            f"--split={settings.split}: --dataset=folder has no splits. Remove the flag, or give "
            "the wanted folder as --data_dir."
        )
    folder = _root(settings.data_dir)
    paths = find_images(folder)
    if not paths:
        raise no_images(settings.data_dir, "Give a folder of images.")
    return FolderSource("folder", folder, paths, settings.max_megapixels)


def labelled_folder(
    dataset: str,
    splits: Mapping[str, str],
    data_dir: Optional[str],
    limit: Optional[int],
    megapixels: float,
) -> list[LabelledRecords]:
    """Opens labelled splits; see `table.labelled_splits`.

    A label is the place of its class among the sorted names of the classes that these splits have
    images of. Nothing else below `data_dir` counts.
    """
    root = _root(data_dir)
    members = {}  # {split: {class: paths}}
    for flag, split in splits.items():
        folder = root / split
        if not folder.is_dir():
            there = ", ".join(sorted(_subfolders(root))) or "none"
            raise NoLabelsError(
                f"--{flag}={split}: --data_dir={data_dir} has no folder '{split}'. Its splits are "
                f"its folders, each with a folder of images per class; there are: {there}."
            )
        found = {name: find_images(folder / name) for name in sorted(_subfolders(folder))}
        members[split] = {name: paths for name, paths in found.items() if paths}
        if not members[split]:
            raise NoLabelsError(
                f"--data_dir={data_dir}: no labels. {folder} needs a folder per class, with images "
                "in it."
            )
    classes = sorted(set().union(*members.values()))
    return [
        records_of_files(
            f"{dataset} {split}",
            root / split,
            [path for name in classes for path in members[split].get(name, ())],
            [label for label, name in enumerate(classes) for _ in members[split].get(name, ())],
            classes,
            limit,
            megapixels,
        )
        for split in splits.values()
    ]


def place_of_split(split: str, data_dir: Optional[str]) -> tuple[str, Optional[str]]:
    """A folder has no splits, but it may have subfolders that are used as such."""
    if not data_dir:
        return split, data_dir
    inside = os.path.join(os.path.expanduser(data_dir), split)
    if os.path.isdir(inside):
        return "train", inside
    note(f"--data_dir={data_dir}: no folder '{split}' in it, so all of its images are taken.")
    return "train", data_dir


def _root(data_dir: Optional[str]) -> pathlib.Path:
    if not data_dir:
        raise ValueError("--data_dir is missing: --dataset=folder needs --data_dir=PATH.")
    folder = pathlib.Path(data_dir).expanduser()
    if not folder.is_dir():
        raise ValueError(f"--data_dir={data_dir}: no such folder. Give a folder of images.")
    return folder


def _subfolders(folder: pathlib.Path) -> list[str]:
    try:
        return [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    except OSError as error:
        raise ValueError(f"--data_dir: {folder} can't be read ({error.strerror}).") from error
