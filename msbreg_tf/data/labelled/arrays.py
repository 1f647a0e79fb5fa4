"""Labelled images as arrays, for k-NN during training and for the quickstart."""

from typing import Optional

import numpy as np

from msbreg_tf.data.labelled.epochs import central_batches
from msbreg_tf.data.labelled.records import check_labelled
from msbreg_tf.data.sources.table import labelled_records


def labelled_images(
    dataset: str,
    split: str,
    data_dir: Optional[str],
    image_size: int,
    limit: Optional[int] = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Loads a labelled split.

    It holds everything in memory: 3 · S² bytes an image (STL-10's test split at 96 px: 221 MB;
    ImageNet's validation split at 224 px: 7.5 GB). Use `limit` where that is too much.

    Args:
      dataset: as --dataset.
      split: in the notation of --split.
      data_dir: as --data_dir.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.
      limit: load at most this many: the first of a TFDS split, evenly spaced ones of a folder that
        is sorted by class.

    Returns:
      images, uint8 [n, S, S, 3], and labels, int64 [n]. Broken files of a folder are left out.

    Raises:
      ValueError: no such split, or no labels.
    """
    data = labelled_records(dataset, split, data_dir, limit)
    batches = list(central_batches(data, image_size=image_size).as_numpy_iterator())
    if not batches:
        raise ValueError(f"--dataset={dataset}: split {split} has no images. Choose another.")
    images, labels = (np.concatenate(column) for column in zip(*batches))
    check_labelled(labels, f"--dataset={dataset}: split {split}")
    return images, labels
