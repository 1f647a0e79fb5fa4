"""Labelled images to train and to test on: epochs that depend on (seed, epoch) alone."""

import dataclasses
from collections.abc import Callable
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.settings import MIB
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.data.sources.source import MemorySource, Source
from msbreg_tf.data.sources.tfds import StreamSource
from msbreg_tf.files.whole import fingerprint


@dataclasses.dataclass(frozen=True)
class LabelledSource:
    """Chosen images of a labelled split.

    Attributes:
      source: the records; its index is the position among the chosen ones.
      decode: record → uint8 [H, W, 3].
      labels: int64 [n], by that index.
      fingerprint: 16 hexadecimal digits, of the labels, of some pixels, and of what was chosen.
      may_break: whether a record that can't be decoded is to be left out.
    """

    source: Source
    decode: Callable[[tf.Tensor], tf.Tensor]
    labels: np.ndarray
    fingerprint: str
    may_break: bool


def select_rows(
    data: LabelledRecords,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    cache_mb: int = 4096,
    shuffle_buffer: int = 16384,
) -> LabelledSource:
    """Takes some records of a split.

    Args:
      data: the split.
      labels: all its labels, from `read_labels`.
      rows: int [n], the positions to take, ascending.
      cache_mb: hold the records in memory if they need at most this many MiB; else stream them.
      shuffle_buffer: records that are mixed when they are streamed.
    """
    records = _numbered(data, rows).map(lambda _, pair: pair[0])
    held = _held(records, cache_mb * MIB)
    if held is None:
        source = StreamSource("streamed", records, len(rows), shuffle_buffer, None, data.decode)
    else:
        source = MemorySource("held", held, data.decode)
    chosen = fingerprint(labels.tobytes(), data.pixels, rows.tobytes())
    return LabelledSource(source, data.decode, labels[rows], chosen, data.files is not None)


def training_batches(
    images: LabelledSource, augment: Callable, *, seed: int, epoch: int, batch_size: int
) -> tf.data.Dataset:
    """One shuffled epoch, every image augmented in its own way; a pure function of (seed, epoch).

    Args:
      images: what to train on.
      augment: as for `ViewPlan`, with one view per image.
      seed: decides order and views.
      epoch: from 0.
      batch_size: images in a step; an incomplete last batch is left out, unless it is the only one.

    Returns:
      Data set of (uint8 [b, S, S, 3], int64 [b]).
    """
    with tf.device("CPU"):
        labels = tf.constant(images.labels)
    views_of_epoch = views_seed(seed, epoch)

    def view(index, record):
        draws = image_draws(views_of_epoch, index, 1)
        image = images.decode(record)
        made = augment({"images": image[tf.newaxis], "draws": draws[tf.newaxis]})["images"]
        return made[0, 0], tf.gather(labels, index)

    ordered = images.source.ordered(order_seed(seed, epoch))
    views = parallel_map(ordered, view)
    if images.may_break:
        views = views.ignore_errors(log_warning=True)
    has_more = batch_size < len(images.labels)  # a broken file must not empty the epoch
    return views.batch(batch_size, drop_remainder=has_more).prefetch(2)


def broken_rows(data: LabelledRecords, rows: np.ndarray) -> np.ndarray:
    """Those of the records `rows`, int64 [n] ascending, that can't be decoded; decodes all n."""
    if data.files is None:
        return np.zeros([0], np.int64)

    def decoded(index, record_and_label):
        image = data.decode(record_and_label[0])
        return index + 0 * tf.size(
            image, tf.int64
        )  # else nobody needs the image, and it is left out

    good = parallel_map(_numbered(data, rows), decoded).ignore_errors()
    return np.setdiff1d(rows, np.fromiter(good.as_numpy_iterator(), np.int64))


def central_images(
    data: LabelledRecords,
    *,
    image_size: int,
    centre_crop: float = 1.0,
    first: int = 0,
    rows: Optional[np.ndarray] = None,
) -> tf.data.Dataset:
    """The central crop of every image, in a fixed order.

    Args:
      data: the split.
      image_size: side S.
      centre_crop: the crop's side as a fraction of the image's shorter side, above 0 and at most 1.
      first: records before it are left out.
      rows: only the records at these positions, int [·] ascending; None: all.

    Returns:
      Data set of (position int64, uint8 [S, S, 3], label int64, bool whether it can be read). An
      image that can't be read is black; only files can be so, of other records it is an error.
    """
    resized = round(image_size / centre_crop)
    start = (resized - image_size) // 2

    def look(record):
        image = resize_and_crop(data.decode(record), resized)
        image = image[start : start + image_size, start : start + image_size]
        return tf.ensure_shape(image, [image_size, image_size, 3])

    def look_or_black(record):
        black = tf.data.Dataset.from_tensors((tf.zeros([image_size] * 2 + [3], tf.uint8), False))
        seen = tf.data.Dataset.from_tensors(record).map(lambda record: (look(record), True))
        return seen.ignore_errors().concatenate(black).take(1).get_single_element()

    def labelled(position, record_and_label):
        record, label = record_and_label
        image, good = (look(record), True) if data.files is None else look_or_black(record)
        return position, image, tf.cast(label, tf.int64), good

    records = data.records.enumerate() if rows is None else _numbered(data, rows)
    return parallel_map(records.skip(first), labelled)


def _numbered(data: LabelledRecords, rows: np.ndarray) -> tf.data.Dataset:
    """(position, (record, label)) of the records at `rows`, int [·] ascending."""
    mask = np.zeros(int(rows.max()) + 1, bool)
    mask[rows] = True
    with tf.device("CPU"):
        is_chosen = tf.constant(mask)
    records = data.records.take(len(mask)).enumerate()
    return records.filter(lambda index, _: tf.gather(is_chosen, index))


def _held(records: tf.data.Dataset, limit: int):
    """All records, as an array, if they need at most `limit` bytes; else None."""
    held, size = [], 0
    for record in records.as_numpy_iterator():
        size += len(record) if isinstance(record, bytes) else record.nbytes
        if size > limit:
            return None
        held.append(record)
    is_text = isinstance(held[0], bytes)
    return np.array(held, dtype=object) if is_text else np.stack(held)
