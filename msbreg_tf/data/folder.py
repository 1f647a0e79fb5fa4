"""Any folder of images: read on demand, broken files replaced and reported."""

import atexit
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from msbreg_tf.data.decoding import decode_image
from msbreg_tf.data.source import Source, permutation

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def find_images(folder: pathlib.Path) -> list[str]:
    """Paths of all images below `folder`, in the order of their relative paths.

    Images are known by their extensions, in any case. Linked folders are followed, once each; names
    that begin with a dot are left out.
    """
    found, visited = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
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


def read_and_decode(path: tf.Tensor) -> tf.Tensor:
    """String scalar → uint8 [H, W, 3]."""
    return decode_image(tf.io.read_file(path))


class FolderSource(Source):
    """Image files; the record is the path.

    A file that cannot be read or decoded never stops a run and never moves the others: its place is
    taken by another image, chosen by its path alone. So resuming stays exact.
    """

    image_shape = None

    def __init__(self, name: str, paths: Sequence[str]):
        """Keeps `paths` and looks for one good file among them.

        Args:
          name: for logs.
          paths: files in a fixed order.

        Raises:
          ValueError: none of them can be decoded.
        """
        self.name = name
        self.num_images = len(paths)
        encoded = [os.fsencode(path) for path in paths]
        with tf.device("CPU"):
            self._paths = tf.constant(np.array(encoded, dtype=object), tf.string)
        log_folder = tempfile.mkdtemp(prefix="msbreg_broken_")
        atexit.register(shutil.rmtree, log_folder, ignore_errors=True)
        self._log = os.path.join(log_folder, "paths.txt")
        self._good_path = self._first_good(encoded)

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
                return read_and_decode(tf.identity(path))

        attempts = tf.data.Dataset.from_tensor_slices((candidates, failed_before)).map(attempt)
        image = attempts.ignore_errors().take(1).get_single_element()
        image.set_shape([None, None, 3])
        return image

    def broken_files(self):
        if not os.path.exists(self._log):
            return []
        with open(self._log, "rb") as log:
            return sorted({os.fsdecode(line) for line in log.read().splitlines() if line})

    def _report(self, path: tf.Tensor) -> tf.Operation:
        # On a worker of the tf.data service this lands in a file of the worker's machine.
        log = "file://" + self._log
        return tf.cond(path == b"", tf.no_op, lambda: tf.print(path, output_stream=log))

    def _first_good(self, paths: Sequence[bytes]) -> bytes:
        for path in paths:
            try:
                read_and_decode(tf.constant(path))
            except tf.errors.OpError:
                with open(self._log, "ab") as log:
                    log.write(path + b"\n")
            else:
                return path
        raise ValueError(
            f"--data_dir: none of its {len(paths)} image files can be decoded, the first is "
            f"{os.fsdecode(paths[0])}. Give a folder with JPEG, PNG, BMP or GIF images."
        )


def open_folder(data_dir: str, split: str) -> FolderSource:
    """Opens --dataset=folder.

    Raises:
      ValueError: no folder, no images, none that can be decoded, or another split than 'train'.
    """
    if not data_dir:
        raise ValueError("--data_dir is missing: --dataset=folder needs --data_dir=PATH.")
    if split != "train":
        raise ValueError(
            f"--split={split}: --dataset=folder has no splits. Remove the flag, or give the wanted "
            "folder as --data_dir."
        )
    folder = pathlib.Path(data_dir).expanduser()
    if not folder.is_dir():
        raise ValueError(f"--data_dir={data_dir}: no such folder. Give a folder of images.")
    paths = find_images(folder)
    if not paths:
        raise ValueError(
            f"--data_dir={data_dir}: no file below it ends in {', '.join(EXTENSIONS)}. "
            "Give a folder of images."
        )
    return FolderSource("folder", paths)
