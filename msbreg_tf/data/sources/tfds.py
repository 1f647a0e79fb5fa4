"""Images of a TFDS data set: in memory if they fit, else read from disk when their turn comes."""

import functools
from collections.abc import Mapping
from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.images.decoding import decode_any, decode_reduced
from msbreg_tf.data.settings import MIB, DataSettings
from msbreg_tf.data.sources.records import LabelledRecords, digest_of_pixels
from msbreg_tf.data.sources.source import MemorySource, Source
from msbreg_tf.data.sources.tfds_builder import encoded_examples, open_builder
from msbreg_tf.data.sources.tfrecords import RecordFiles, find_records
from msbreg_tf.errors import NoLabelsError


class StreamSource(Source):
    """Records that can only be read from the first to the last, mixed by a shuffle buffer.

    Every epoch begins at a random record and goes round, so that each is as likely as any other to
    be left out or to come early. Neighbours on disk stay within about a buffer's length of one
    another; TFDS has already shuffled them when it wrote them. Skipping reads what it skips, but
    does not decode it.
    """

    def __init__(
        self,
        name: str,
        records: tf.data.Dataset,
        num_images: int,
        shuffle_buffer: int,
        image_shape: Optional[tuple[int, int]],
        decode=decode_any,
        reduced=decode_reduced,
    ):
        """Keeps the stream.

        Args:
          name: for logs.
          records: data set of string scalars, the same in every iteration.
          num_images: how many it has.
          shuffle_buffer: records held in memory.
          image_shape: (H, W) if all images have the same.
          decode: record → uint8 [H, W, 3].
        """
        self.name = name
        self.num_images = num_images
        self.image_shape = image_shape
        self._records = records.enumerate()
        self._buffer = shuffle_buffer
        self._decode = decode
        self._reduced = reduced

    def ordered(self, seed, first=0):
        start = tf.random.stateless_uniform(
            [], seed, maxval=self.num_images, dtype=tf.int64, alg="philox"
        )

        def shuffled(_):
            # Of this function's graph only; else the program's global seed would be mixed in. Not
            # 0: TensorFlow then compares the other seed, a tensor, in Python.
            tf.random.set_seed(1)
            one_number = tf.random.stateless_uniform(
                [], seed, minval=None, maxval=None, dtype=tf.int64, alg="philox"
            )
            round_trip = self._records.skip(start).concatenate(self._records.take(start))
            return round_trip.shuffle(self._buffer, one_number, reshuffle_each_iteration=False)

        return tf.data.Dataset.range(1).flat_map(shuffled).skip(first)

    def decode(self, record):
        return tf.ensure_shape(self._decode(record), [*(self.image_shape or (None, None)), 3])

    def decode_reduced(self, record, reduce):
        return self._reduced(record, reduce)

    def records_in_memory(self):
        raise ValueError(
            f"--data_service: {self.name} is streamed, because it needs more than --cache_mb and "
            "is not in TFRecord files, and a single step of a stream cannot be read by itself. Use "
            "a larger --cache_mb, as much as the images need on disk, or the same images as files "
            "with --dataset=folder."
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
    files = None if fits else find_records(builder, settings.split)
    name = name_of_split(builder, settings.split)
    return source_of_records(name, records, count, held, files, builder, settings)


def source_of_records(
    name: str,
    records: tf.data.Dataset,
    count: int,
    held: Optional[list[bytes]],
    files: Optional[RecordFiles],
    builder: tfds.core.DatasetBuilder,
    settings: DataSettings,
) -> Source:
    """Records of a builder as a source: in memory if they are held, else read from `files`.

    Raises:
      ValueError: there are none.
    """
    if not count:
        raise ValueError(f"--split={settings.split}: no images in it. Choose another split.")
    height, width, _ = builder.info.features["image"].shape
    shape = None if None in (height, width) else (height, width)
    decode = functools.partial(_decode, shape=shape, megapixels=settings.max_megapixels)
    reduced = functools.partial(decode_reduced, megapixels=settings.max_megapixels)
    if held is not None:
        return MemorySource(
            name,
            np.array(held, dtype=object),
            decode,
            shape,
            read_again=lambda: records.batch(count, drop_remainder=True).get_single_element(),
            reduced=reduced,
        )
    if files is not None:
        return MemorySource(
            name,
            files.places,
            lambda place: decode(files.image(place)),
            shape,
            reduced=lambda place, reduce: reduced(files.image(place), reduce),
        )
    return StreamSource(name, records, count, settings.shuffle_buffer, shape, decode, reduced)


def name_of_split(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """ "stl10 1.0.0 train"."""
    return f"{builder.info.full_name.replace('/', ' ')} {split}"


def labelled_tfds(
    dataset: str,
    splits: Mapping[str, str],
    data_dir: Optional[str],
    limit: Optional[int],
    megapixels: float,
) -> list[LabelledRecords]:
    """Opens labelled splits; see `table.labelled_splits`."""
    builder = open_builder(dataset, data_dir)
    label = dict(builder.info.features).get("label")
    if not isinstance(label, tfds.features.ClassLabel):
        raise NoLabelsError(
            f"--dataset={dataset}: it has no class labels. Choose a labelled data set."
        )
    opened = []
    for flag, split in splits.items():
        examples = encoded_examples(builder, split, with_labels=True, flag=flag)
        pairs = examples.map(lambda example: (example["image"], example["label"]))
        name = f"{dataset} {split}"
        opened.append(labelled_pairs(name, pairs, builder, label.names, limit, megapixels))
    return opened


def labelled_pairs(
    name: str,
    pairs: tf.data.Dataset,
    builder: tfds.core.DatasetBuilder,
    classes: list[str],
    limit: Optional[int],
    megapixels: float,
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
    decode = functools.partial(_decode, shape=None, megapixels=megapixels)
    return LabelledRecords(
        name=name,
        records=pairs,
        decode=decode,
        count=count,
        classes=tuple(classes),
        identity={"tfds": builder.info.full_name, "splits": sizes},
        pixels=digest_of_pixels(pairs, decode),  # the first ones: others cost reading up to them
    )


def _decode(record: tf.Tensor, shape: Optional[tuple[int, int]], megapixels: float) -> tf.Tensor:
    return tf.ensure_shape(decode_any(record, megapixels), [*(shape or (None, None)), 3])


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
