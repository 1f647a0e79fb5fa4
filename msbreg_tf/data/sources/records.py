"""A labelled split as records, not decoded: some are too large to hold in memory."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import read_and_decode

_PROBES = 16


@dataclasses.dataclass(frozen=True)
class LabelledRecords:
    """A labelled split, not decoded.

    Attributes:
      records: data set of (record, label int64), the same in every iteration.
      decode: record → uint8 [H, W, 3].
      count: how many records; None if only reading them all would tell.
      identity: JSON values that change when the data do, found without reading them all. No path
        is in it.
      pixels: SHA-256 of a few decoded images, the same for the same images in another format or
        place.
      may_break: whether a record that can't be decoded is to be left out.
    """

    records: tf.data.Dataset
    decode: Callable[[tf.Tensor], tf.Tensor]
    count: Optional[int]
    identity: dict[str, Any]
    pixels: str
    may_break: bool = False


def records_of_files(
    folder: pathlib.Path, paths: Sequence[str], labels: Sequence[int], limit: Optional[int]
) -> LabelledRecords:
    """Labelled image files.

    Args:
      folder: their common root; names relative to it are part of the identity.
      paths: the files.
      labels: one for each.
      limit: at most this many, evenly spaced, because the files are sorted by class.
    """
    count = len(paths) if limit is None else min(limit, len(paths))
    chosen = np.arange(count) * len(paths) // max(count, 1)
    paths = [paths[index] for index in chosen]
    labels = np.asarray(labels, np.int64)[chosen]
    digest = hashlib.sha256(labels.tobytes())
    for path in paths:
        state = os.stat(path)
        name = os.path.relpath(path, folder).replace(os.sep, "/")
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "replace"))
    encoded = np.array([os.fsencode(path) for path in paths], dtype=object)
    with tf.device("CPU"):
        records = tf.data.Dataset.from_tensor_slices((tf.constant(encoded, tf.string), labels))
    identity = {"files": digest.hexdigest()}
    every_nth = records.shard(max(count // _PROBES, 1), 0)
    pixels = digest_of_pixels(every_nth, read_and_decode)
    return LabelledRecords(records, read_and_decode, count, identity, pixels, may_break=True)


def digest_of_pixels(records: tf.data.Dataset, decode: Callable[[tf.Tensor], tf.Tensor]) -> str:
    """SHA-256 of the shapes and pixels of the first images that can be decoded."""
    images = records.map(lambda record, _: decode(record)).ignore_errors().take(_PROBES)
    digest = hashlib.sha256()
    for image in images.as_numpy_iterator():
        digest.update(str(image.shape).encode() + image.tobytes())
    return digest.hexdigest()
