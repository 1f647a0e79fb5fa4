"""A labelled split as records, not decoded: some are too large to hold in memory."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import read_and_decode
from msbreg_tf.data.settings import MEGAPIXELS

_PROBES = 16


@dataclasses.dataclass(frozen=True)
class LabelledRecords:
    """A labelled split, not decoded.

    Attributes:
      name: for messages: "folder train".
      records: data set of (record, label int64), the same in every iteration.
      decode: record → uint8 [H, W, 3].
      count: how many records; None if only reading them all would tell.
      classes: name of each label, in order.
      identity: JSON values that change when the data do, found without reading them all. No path
        is in it.
      pixels: SHA-256 of a few decoded images, the same for the same images in another format or
        place.
      files: name of each record, where each is a file; one that can't be read is left out.
    """

    name: str
    records: tf.data.Dataset
    decode: Callable[[tf.Tensor], tf.Tensor]
    count: Optional[int]
    classes: Sequence[str]
    identity: dict[str, Any]
    pixels: str
    files: Optional[Sequence[str]] = None


def records_of_files(
    name: str,
    folder: pathlib.Path,
    paths: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    limit: Optional[int],
    megapixels: float = MEGAPIXELS,
) -> LabelledRecords:
    """Labelled image files.

    Args:
      name: for messages.
      folder: their common root; names relative to it are part of the identity.
      paths: the files.
      labels: one for each.
      classes: name of each label, in order.
      limit: at most this many, evenly spaced, because the files are sorted by class.
      megapixels: larger images count as broken.
    """
    count = len(paths) if limit is None else min(limit, len(paths))
    chosen = np.arange(count) * len(paths) // max(count, 1)
    paths = [paths[index] for index in chosen]
    labels = np.asarray(labels, np.int64)[chosen]
    names = [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]
    encoded = np.array([os.fsencode(path) for path in paths], dtype=object)
    with tf.device("CPU"):
        records = tf.data.Dataset.from_tensor_slices((tf.constant(encoded, tf.string), labels))
    decode = functools.partial(read_and_decode, megapixels=megapixels)
    every_nth = records.shard(max(count // _PROBES, 1), 0)
    return LabelledRecords(
        name=name,
        records=records,
        decode=decode,
        count=count,
        classes=tuple(classes),
        identity={
            "files": states_digest(folder, names, labels.tobytes()),
            "max_megapixels": megapixels,
        },
        pixels=digest_of_pixels(every_nth, decode),
        files=names,
    )


def states_digest(folder: os.PathLike, names: Sequence[str], start: bytes = b"") -> str:
    """SHA-256 of `start` and the names, sizes and times of change of files, below `folder`.

    A file that is gone, such as the target of a link, has a state too: it counts as a broken one.
    """
    digest = hashlib.sha256(start)
    for name in names:
        try:
            state = os.stat(os.path.join(folder, name))
            version = f"{state.st_size} {state.st_mtime_ns}"
        except OSError:
            version = "gone"
        digest.update(os.fsencode(f"{name}\0{version}\0"))
    return digest.hexdigest()


def digest_of_pixels(records: tf.data.Dataset, decode: Callable[[tf.Tensor], tf.Tensor]) -> str:
    """SHA-256 of the shapes and pixels of the first images that can be decoded."""
    images = records.map(lambda record, _: decode(record)).ignore_errors().take(_PROBES)
    digest = hashlib.sha256()
    for image in images.as_numpy_iterator():
        digest.update(str(image.shape).encode() + image.tobytes())
    return digest.hexdigest()
