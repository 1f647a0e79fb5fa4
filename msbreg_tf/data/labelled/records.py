"""Labelled splits as records, not decoded: some are too large to hold in memory."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import decode_image
from msbreg_tf.data.sources.folder import EXTENSIONS, find_images, read_and_decode
from msbreg_tf.data.sources.imagenet100 import labelled_paths, split_folder
from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.tfds import labelled_examples
from msbreg_tf.data.sources.tfds_builder import open_builder

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


def labelled_records(
    dataset: str, split: str, data_dir: Optional[str], limit: Optional[int] = None
) -> LabelledRecords:
    """Opens a labelled split.

    Args:
      dataset: as --dataset. Of 'folder', each split is a folder of data_dir, with a folder per
        class; a label is the place of the class among the sorted names of all splits' classes.
      split: in the notation of --split.
      data_dir: as --data_dir.
      limit: at most this many: the first, or evenly spaced ones of folders.

    Raises:
      ValueError: no such split, or no labels.
    """
    if dataset == "sample":
        return _sample(split, limit)
    if dataset == "folder":
        return _files(*_class_folders(data_dir, split), limit)
    if dataset == "imagenet100" and (folder := split_folder(data_dir, split)):
        return _files(folder, *labelled_paths(folder), limit)
    records = labelled_examples(dataset, split, data_dir)
    known = int(records.cardinality())
    count = known if known >= 0 else None
    if limit is not None:
        records = records.take(limit)
        count = None if count is None else min(count, limit)
    builder = open_builder("imagenet2012" if dataset == "imagenet100" else dataset, data_dir)
    sizes = {
        name: [int(info.num_examples), int(info.num_bytes)]
        for name, info in sorted(builder.info.splits.items())
    }
    identity = {"tfds": builder.info.full_name, "splits": sizes}
    pixels = _pixels(records, decode_image)  # the first ones: others cost reading up to them
    return LabelledRecords(records, decode_image, count, identity, pixels)


def _sample(split: str, limit: Optional[int]) -> LabelledRecords:
    images, labels = (column[:limit] for column in load_sample(split))
    with tf.device("CPU"):
        records = tf.data.Dataset.from_tensor_slices((images, labels))
    identity = {"images": _digest(images), "labels": _digest(labels)}

    def decode(pixels):
        return pixels

    return LabelledRecords(records, decode, len(labels), identity, _pixels(records, decode))


def _files(
    folder: pathlib.Path, paths: list[str], labels: list[int], limit: Optional[int]
) -> LabelledRecords:
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
    spread = records.shard(max(count // _PROBES, 1), 0)
    pixels = _pixels(spread, read_and_decode)
    return LabelledRecords(records, read_and_decode, count, identity, pixels, may_break=True)


def _class_folders(
    data_dir: Optional[str], split: str
) -> tuple[pathlib.Path, list[str], list[int]]:
    if not data_dir:
        raise ValueError("--data_dir is missing: --dataset=folder needs --data_dir=PATH.")
    root = pathlib.Path(data_dir).expanduser()
    folder = root / split
    if not folder.is_dir():
        raise ValueError(
            f"--data_dir={data_dir}: no folder '{split}' in it. Its splits are folders, each with "
            "a folder of images per class."
        )
    # Of all splits, for one that lacks a class must not number the others anew.
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
    return folder, paths, labels


def _subfolders(folder: pathlib.Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _pixels(records: tf.data.Dataset, decode: Callable[[tf.Tensor], tf.Tensor]) -> str:
    """SHA-256 of the shapes and pixels of the first images that can be decoded."""
    images = records.map(lambda record, _: decode(record)).ignore_errors().take(_PROBES)
    digest = hashlib.sha256()
    for image in images.as_numpy_iterator():
        digest.update(str(image.shape).encode() + image.tobytes())
    return digest.hexdigest()


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
