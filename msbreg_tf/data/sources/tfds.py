"""Images of a TFDS data set: in memory if they fit, else streamed through a shuffle buffer."""

from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from msbreg_tf.data.images.decoding import decode_image
from msbreg_tf.data.sources.imagenet100 import label_table
from msbreg_tf.data.sources.source import MemorySource, Source
from msbreg_tf.data.sources.tfds_builder import encoded_examples, open_builder
from msbreg_tf.run.config import DataConfig

_MIB = 2**20


class StreamSource(Source):
    """Records read from disk in a fixed order, and mixed by a shuffle buffer.

    Skipping reads what it skips, but does not decode it. Neighbours on disk stay within about a
    buffer's length of one another; TFDS has already shuffled them when it wrote them.
    """

    def __init__(
        self,
        name: str,
        records: tf.data.Dataset,
        num_images: int,
        shuffle_buffer: int,
        image_shape: Optional[tuple[int, int]],
    ):
        """Keeps the stream.

        Args:
          name: for logs.
          records: data set of string scalars, the same in every iteration.
          num_images: how many it has.
          shuffle_buffer: records held in memory.
          image_shape: (H, W) if all images have the same.
        """
        self.name = name
        self.num_images = num_images
        self.image_shape = image_shape
        self._records = records.enumerate()
        self._buffer = shuffle_buffer

    def ordered(self, seed, first=0):
        def shuffled(_):
            # Of this function's graph only; else the program's global seed would be mixed in. Not
            # 0: TensorFlow then compares the other seed, a tensor, in Python.
            tf.random.set_seed(1)
            one_number = tf.random.stateless_uniform(
                [], seed, minval=None, maxval=None, dtype=tf.int64, alg="philox"
            )
            return self._records.shuffle(self._buffer, one_number, reshuffle_each_iteration=False)

        return tf.data.Dataset.range(1).flat_map(shuffled).skip(first)

    def decode(self, record):
        return _decode(record, self.image_shape)

    def held_records(self):
        raise ValueError(
            f"--data_service: {self.name} is streamed, for it needs more than --cache_mb, and a "
            "stream has no step that could be read alone. Use a larger --cache_mb, as much as the "
            "images need on disk, or the same images as files with --dataset=folder."
        )


def open_tfds(config: DataConfig) -> Source:
    """Opens any TFDS data set with images, or its imagenet2012 for --dataset=imagenet100.

    Raises:
      ValueError: see `open_builder` and `encoded_examples`; or the split is empty.
    """
    hundred = config.dataset == "imagenet100"
    builder = open_builder("imagenet2012" if hundred else config.dataset, config.data_dir)
    height, width, _ = builder.info.features["image"].shape
    shape = None if None in (height, width) else (height, width)
    name = f"{builder.info.full_name.replace('/', ' ')} {config.split}"
    limit = config.cache_mb * _MIB
    if hundred:
        name = f"imagenet100 of {name}"
        records = _hundred_classes(builder, config.split)
        logging.warning("Reading all of %s once, to count the images of the 100 classes.", name)
        count, held = _count_and_hold(records, limit)
    else:
        records = encoded_examples(builder, config.split).map(lambda example: example["image"])
        count = int(records.cardinality())
        fits = _estimated_bytes(builder, count) < limit
        held = list(records.as_numpy_iterator()) if fits else None
    if not count:
        raise ValueError(f"--split={config.split}: no images in it. Choose another split.")
    if held is None:
        logging.info("%s: streamed, for it needs more than --cache_mb=%d.", name, config.cache_mb)
        return StreamSource(name, records, count, config.shuffle_buffer, shape)
    strings = np.array(held, dtype=object)
    return MemorySource(
        name,
        strings,
        lambda record: _decode(record, shape),
        shape,
        read_again=lambda: records.batch(count, drop_remainder=True).get_single_element(),
    )


def labelled_examples(dataset: str, split: str, data_dir: Optional[str]) -> tf.data.Dataset:
    """Labelled images of a TFDS data set, still encoded.

    Returns:
      Data set of (record string scalar, label int64 scalar).

    Raises:
      ValueError: the data set has no labels; see also `open_tfds`.
    """
    hundred = dataset == "imagenet100"
    builder = open_builder("imagenet2012" if hundred else dataset, data_dir)
    if not isinstance(dict(builder.info.features).get("label"), tfds.features.ClassLabel):
        raise ValueError(
            f"--dataset={dataset}: it has no class labels, and k-NN needs them. "
            "Choose a labelled data set, or --knn_every=0."
        )
    if hundred:
        return _hundred_classes(builder, split, with_labels=True)
    examples = encoded_examples(builder, split, with_labels=True)
    return examples.map(lambda example: (example["image"], example["label"]))


def _decode(record: tf.Tensor, shape: Optional[tuple[int, int]]) -> tf.Tensor:
    return tf.ensure_shape(decode_image(record), [*(shape or (None, None)), 3])


def _hundred_classes(builder, split: str, with_labels: bool = False) -> tf.data.Dataset:
    table = label_table(builder.info.features["label"].names)

    def with_our_label(example):
        theirs = example["label"]  # −1 in the test split
        ours = tf.gather(table, tf.maximum(theirs, 0))
        return example["image"], tf.where(theirs < 0, theirs, ours)

    pairs = encoded_examples(builder, split, with_labels=True).map(with_our_label)
    ours = pairs.filter(lambda _, label: label >= 0)
    return ours if with_labels else ours.map(lambda image, _: image)


def _count_and_hold(records: tf.data.Dataset, limit: int) -> tuple[int, Optional[list[bytes]]]:
    """How many records there are, and all of them if they need less than `limit` bytes."""
    count, size, held = 0, 0, []
    for record in records.as_numpy_iterator():
        count += 1
        size += len(record)
        if held is not None and size < limit:
            held.append(record)
        else:
            held = None
    return count, held


def _estimated_bytes(builder: tfds.core.DatasetBuilder, count: int) -> float:
    splits = builder.info.splits.values()
    examples = sum(split.num_examples for split in splits)
    return sum(int(split.num_bytes) for split in splits) * count / max(examples, 1)
