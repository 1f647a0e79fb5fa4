"""Records of TFRecord files one by one, in any order: what a large TFDS data set is read by.

TFDS reads files from their beginning to their end, so that a shuffle buffer mixes neighbours only.
Here the place of every record is found once; then each can be read by itself. An epoch is a uniform
random order, and a run resumes in the middle of it without reading what it skips.
"""

import os
import struct
from collections.abc import Callable
from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

_BEFORE, _AFTER = 12, 4  # bytes around a record's data: its length and a checksum; a checksum


class RecordFiles:
    """The records of a split, by number.

    Attributes:
      places: int64 [n, 4]: number of the file, bytes before the data, bytes of it, bytes behind.
    """

    def __init__(self, paths: list[str], places: np.ndarray):
        """Keeps the files' `paths`; `find_records` finds the places."""
        self._paths = paths
        self.places = places

    def read(self, place: tf.Tensor) -> tf.Tensor:
        """The data of one record, a string scalar, by its row of `places`; in a graph, too."""
        file, before, length, behind = tf.unstack(place)
        data = tf.data.FixedLengthRecordDataset(
            tf.gather(tf.constant(self._paths), file),
            record_bytes=length,
            header_bytes=before,
            footer_bytes=behind,
            buffer_size=length,
        )
        return data.take(1).get_single_element()

    def image(self, place: tf.Tensor) -> tf.Tensor:
        """The encoded image of one record."""
        feature = {"image": tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_single_example(self.read(place), feature)["image"]

    def having_label(self, wanted: Callable[[tf.Tensor], tf.Tensor]) -> "RecordFiles":
        """Only the records whose label, an int64 scalar, is `wanted`; reads all of them."""
        feature = {"label": tf.io.FixedLenFeature([], tf.int64)}

        def is_wanted(place):
            return wanted(tf.io.parse_single_example(self.read(place), feature)["label"])

        places = tf.data.Dataset.from_tensor_slices(self.places)
        kept = places.map(is_wanted, num_parallel_calls=tf.data.AUTOTUNE)
        mask = np.fromiter(kept.as_numpy_iterator(), bool, len(self.places))
        return RecordFiles(self._paths, self.places[mask])


def find_records(builder: tfds.core.DatasetBuilder, split: str) -> Optional[RecordFiles]:
    """Where the records of a split are, in the order of `encoded_examples`.

    Args:
      builder: prepared.
      split: TFDS expression.

    Returns:
      None if they are not in TFRecord files.

    Raises:
      OSError: a file can't be read.
    """
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        return None
    if not builder.info.splits:  # as of tfds.testing.mock_data
        return None
    parts = builder.info.splits[split].file_instructions
    if not all(os.path.exists(part.filename) for part in parts):
        return None  # not on a disk
    paths, found = [], []
    for number, part in enumerate(parts):
        paths.append(os.fspath(part.filename))
        places = _places_in_file(paths[-1])
        end = None if part.take < 0 else part.skip + part.take
        chosen = places[part.skip : end]
        found.append(np.insert(chosen, 0, number, axis=1))
    return RecordFiles(paths, np.concatenate(found))


def _places_in_file(path: str) -> np.ndarray:
    """int64 [n, 3]: bytes before the data of each record, bytes of it, bytes behind."""
    size, at, rows = os.path.getsize(path), 0, []
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            header = file.read(8)
            if len(header) < 8:
                break
            (length,) = struct.unpack("<Q", header)
            behind = size - at - _BEFORE - length
            if behind < _AFTER:
                break  # cut off
            rows.append((at + _BEFORE, length, behind))
            at += _BEFORE + length + _AFTER
    return np.array(rows, np.int64).reshape(-1, 3)
