"""Images of a run to look at: some that it trained on, with their labels if there are any."""

import dataclasses
import hashlib
import os
import pathlib
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.labelled.epochs import central_images
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.pipeline.seeds import order_seed
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.image_files import find_images, no_images
from msbreg_tf.data.sources.table import labelled_splits, open_source
from msbreg_tf.errors import NoLabelsError
from msbreg_tf.evaluation.features.files import file_images

_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images at the size that the encoder takes.

    Attributes:
      pixels: uint8 [n, S, S, 3].
      names: n file names, or what else tells one image from another.
      labels: int64 [n], or None.
      classes: the name of each label; empty without labels.
      label_kind: what a label is: "class", or "folder" for the folder that a file lies in.
      broken: names of the files that can't be read; they have no row.
      total: how many images there are, of which these were taken.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    labels: Optional[np.ndarray]
    classes: tuple[str, ...]
    label_kind: str
    broken: tuple[str, ...]
    total: int

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


def load_pictures(data: DataSettings, count: int, seed: int) -> Pictures:
    """Takes at most `count` of the images that a run trained on.

    Of a folder and of data sets whose order says nothing, a random choice by `seed`; of labelled
    data sets the first, or evenly spaced ones, as `labelled_splits` takes them. In a folder, the
    folder that a file lies in is taken for its label if there are at least two of them.

    Raises:
      ValueError: there are no such images, or none can be read.
    """
    if data.dataset == "folder":
        return _of_folder(data, count, seed)
    try:
        [split] = labelled_splits(
            data.dataset, {"split": data.split}, data.data_dir, count, data.max_megapixels
        )
        return _of_split(split, data.image_size, count)
    except NoLabelsError:
        return _without_labels(data, count, seed)


def _of_folder(data: DataSettings, count: int, seed: int) -> Pictures:
    root = os.path.expanduser(data.data_dir or "")
    paths = find_images(pathlib.Path(root)) if data.data_dir and os.path.isdir(root) else []
    if not paths:
        raise no_images(str(data.data_dir), "Give --data_dir, if the images were moved.")
    rows = np.sort(np.random.default_rng(seed).permutation(len(paths))[:count])
    images = file_images([paths[row] for row in rows], data.image_size, data.max_megapixels)
    batches = list(images(0, len(rows)).batch(_AT_ONCE).as_numpy_iterator())
    pixels, good = (np.concatenate(column) for column in zip(*batches))
    names = [os.path.relpath(paths[row], root).replace(os.sep, "/") for row in rows]
    kept = [name for name, is_good in zip(names, good) if is_good]
    if not kept:
        raise ValueError(f"--data_dir={data.data_dir}: none of {len(names)} images can be read.")
    folders = [os.path.dirname(name) for name in kept]
    classes = tuple(sorted(set(folders)))
    labels = np.array([classes.index(folder) for folder in folders], np.int64)
    has_labels = 1 < len(classes) < len(kept)
    return Pictures(
        pixels=pixels[good],
        names=tuple(kept),
        labels=labels if has_labels else None,
        classes=tuple(name or "." for name in classes) if has_labels else (),
        label_kind="folder",
        broken=tuple(name for name, is_good in zip(names, good) if not is_good),
        total=len(paths),
    )


def _of_split(split, image_size: int, count: int) -> Pictures:
    images = central_images(split, image_size=image_size).take(count).batch(_AT_ONCE)
    columns = [np.concatenate(column) for column in zip(*images.as_numpy_iterator())]
    if not columns or not columns[3].any():
        raise ValueError(f"{split.name}: no image that can be read.")
    positions, pixels, labels, good = columns
    names = [split.files[row] if split.files else f"{split.name} {row}" for row in positions]
    has_labels = labels.min() >= 0
    return Pictures(
        pixels=pixels[good],
        names=tuple(name for name, is_good in zip(names, good) if is_good),
        labels=labels[good] if has_labels else None,
        classes=tuple(map(str, split.classes)) if has_labels else (),
        label_kind="class",
        broken=tuple(name for name, is_good in zip(names, good) if not is_good),
        total=split.count or len(names),
    )


def _without_labels(data: DataSettings, count: int, seed: int) -> Pictures:
    source = open_source(data)

    def look(index, record):
        return index, resize_and_crop(source.decode(record), data.image_size)

    chosen = source.ordered(order_seed(seed, 0)).take(count)
    batches = list(parallel_map(chosen, look).batch(_AT_ONCE).as_numpy_iterator())
    indices, pixels = (np.concatenate(column) for column in zip(*batches))
    return Pictures(
        pixels=np.asarray(tf.cast(pixels, tf.uint8)),
        names=tuple(f"{source.name} {index}" for index in indices),
        labels=None,
        classes=(),
        label_kind="class",
        broken=tuple(source.broken_files()),
        total=source.num_images,
    )
