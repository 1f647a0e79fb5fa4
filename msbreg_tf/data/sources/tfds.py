"""Images of a TFDS data set: in memory if they fit, else streamed through a shuffle buffer."""

from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from msbreg_tf.data.images.decoding import decode_image
from msbreg_tf.data.settings import MIB, DataSettings
from msbreg_tf.data.sources.records import LabelledRecords, digest_of_pixels
from msbreg_tf.data.sources.source import MemorySource, Source
from msbreg_tf.data.sources.tfds_builder import encoded_examples, open_builder


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

    def records_in_memory(self):
        raise ValueError(
            f"--data_service: {self.name} is streamed, because it needs more than --cache_mb, and "
            "a single step of a stream cannot be read by itself. Use a larger --cache_mb, as much "
            "as the images need on disk, or the same images as files with --dataset=folder."
        )


def open_tfds(settings: DataSettings) -> Source:
    """Opens any TFDS data set with images.

    Raises:
      ValueError: see `open_builder` and `encoded_examples`; or the split is empty.
    """
    builder = open_builder(settings.dataset, settings.data_dir)
    records = encoded_examples(builder, settings.split).map(lambda example: example["image"])
    count = int(records.cardinality())
    fits = _estimated_bytes(builder, count) < settings.cache_mb * MIB
    held = list(records.as_numpy_iterator()) if fits else None
    name = name_of_split(builder, settings.split)
    return source_of_records(name, records, count, held, builder, settings)


def source_of_records(
    name: str,
    records: tf.data.Dataset,
    count: int,
    held: Optional[list[bytes]],
    builder: tfds.core.DatasetBuilder,
    settings: DataSettings,
) -> Source:
    """Records of a builder as a source: in memory if they are held already, else streamed.

    Raises:
      ValueError: there are none.
    """
    if not count:
        raise ValueError(f"--split={settings.split}: no images in it. Choose another split.")
    height, width, _ = builder.info.features["image"].shape
    shape = None if None in (height, width) else (height, width)
    if held is None:
        limit = settings.cache_mb
        logging.info("%s: streamed, because it needs more than --cache_mb=%d.", name, limit)
        return StreamSource(name, records, count, settings.shuffle_buffer, shape)
    return MemorySource(
        name,
        np.array(held, dtype=object),
        lambda record: _decode(record, shape),
        shape,
        read_again=lambda: records.batch(count, drop_remainder=True).get_single_element(),
    )


def name_of_split(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """ "stl10 1.0.0 train"."""
    return f"{builder.info.full_name.replace('/', ' ')} {split}"


def labelled_tfds(
    dataset: str, split: str, data_dir: Optional[str], limit: Optional[int]
) -> LabelledRecords:
    """Opens a labelled split; see `table.labelled_records`."""
    builder = open_builder(dataset, data_dir)
    if not isinstance(dict(builder.info.features).get("label"), tfds.features.ClassLabel):
        raise ValueError(
            f"--dataset={dataset}: it has no class labels, and k-NN needs them. "
            "Choose a labelled data set, or --knn_every=0."
        )
    examples = encoded_examples(builder, split, with_labels=True)
    pairs = examples.map(lambda example: (example["image"], example["label"]))
    return labelled_pairs(pairs, builder, limit)


def labelled_pairs(
    pairs: tf.data.Dataset, builder: tfds.core.DatasetBuilder, limit: Optional[int]
) -> LabelledRecords:
    """(encoded image, label) pairs of a builder as a labelled split, the first `limit` of them."""
    known = int(pairs.cardinality())
    count = known if known >= 0 else None
    if limit is not None:
        pairs = pairs.take(limit)
        count = None if count is None else min(count, limit)
    sizes = {
        name: [int(info.num_examples), int(info.num_bytes)]
        for name, info in sorted(builder.info.splits.items())
    }
    identity = {"tfds": builder.info.full_name, "splits": sizes}
    pixels = digest_of_pixels(pairs, decode_image)  # the first ones: others cost reading up to them
    return LabelledRecords(pairs, decode_image, count, identity, pixels)


def _decode(record: tf.Tensor, shape: Optional[tuple[int, int]]) -> tf.Tensor:
    return tf.ensure_shape(decode_image(record), [*(shape or (None, None)), 3])


def count_and_hold(records: tf.data.Dataset, limit: int) -> tuple[int, Optional[list[bytes]]]:
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
