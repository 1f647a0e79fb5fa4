"""Images with several labels each, some of them difficult: Pascal VOC through TFDS."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.images.decoding import decode_any
from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.settings import MEGAPIXELS
from msbreg_tf.data.sources.table import SOURCES
from msbreg_tf.data.sources.tfds_builder import open_builder, partial_examples

PRESENT, DIFFICULT, ABSENT = 1, 0, -1  # the numbers of VOC's own ImageSets/Main
_HASHED_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class MultilabelSplit:
    """A split, its images not decoded.

    Attributes:
      names: of the C classes.
      targets: int8 [n, C]: 1 if an image shows the class, 0 if all its objects of the class are
        difficult, −1 if it has none.
      records: data set of n encoded images, string scalars, in the order of `targets`.
      fingerprint: 16 hexadecimal digits, of all targets and a few images.
      megapixels: a larger image is an error.
    """

    names: tuple[str, ...]
    targets: np.ndarray
    records: tf.data.Dataset
    fingerprint: str
    megapixels: float

    def images(self, image_size: int) -> Callable[[int, int], tf.data.Dataset]:
        """(start, stop) → data set of (uint8 [S, S, 3], True), as `embed_blocks` reads them.

        Args:
          image_size: side S; the shorter side is resized to it, then the centre is cut out.
        """

        def load(record):
            return resize_and_crop(decode_any(record, self.megapixels), image_size), tf.constant(
                True
            )

        def images(start, stop):
            chosen = self.records.skip(start).take(stop - start)
            return parallel_map(chosen, load)

        return images


def open_multilabel(
    dataset: str,
    split: str,
    data_dir: Optional[str],
    *,
    flag: str = "split",
    megapixels: float = MEGAPIXELS,
) -> MultilabelSplit:
    """Opens a TFDS data set whose examples have objects with labels, such as voc/2007.

    Args:
      dataset: TFDS name. Without a feature objects/is_difficult no object is difficult.
      split: in TFDS notation; VOC's trainval is 'train+validation'.
      data_dir: TFDS directory.
      flag: how an error calls the split.
      megapixels: a larger image is an error.

    Raises:
      ValueError: no such data set or split, an empty one, or no objects with labels.
    """
    if dataset in SOURCES:
        raise ValueError(
            f"--dataset={dataset}: its images have no objects with labels. Choose voc/2007."
        )
    builder = open_builder(dataset, data_dir)
    objects = getattr(dict(builder.info.features).get("objects"), "feature", {})
    label = dict(objects).get("label")
    if not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            f"--dataset={dataset}: its examples have no objects with labels. Choose voc/2007."
        )
    wanted = {"label": True, **({"is_difficult": True} if "is_difficult" in objects else {})}
    called = f"--{flag}={split}"
    examples = partial_examples(builder, split, {"objects": wanted}, called=called)
    targets = np.stack([_target(e["objects"], label.num_classes) for e in examples])
    images = partial_examples(builder, split, {"image": True}, called=called)
    records = images.map(lambda example: example["image"])
    digest = hashlib.sha256(targets.tobytes())
    for record in records.take(_HASHED_IMAGES).as_numpy_iterator():
        digest.update(hashlib.sha256(record).digest())
    return MultilabelSplit(
        tuple(label.names), targets, records, digest.hexdigest()[:16], megapixels
    )


def _target(objects: dict[str, tf.Tensor], num_classes: int) -> np.ndarray:
    """Labels [k] and, if there are, difficulties [k] of one image → int8 [C]."""
    labels = objects["label"].numpy()
    difficult = objects["is_difficult"].numpy() if "is_difficult" in objects else labels < 0
    target = np.full(num_classes, ABSENT, np.int8)
    target[labels] = DIFFICULT
    target[labels[~difficult]] = PRESENT
    return target
