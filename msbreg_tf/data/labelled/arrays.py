"""Labelled images as arrays, for k-NN during training and for the quickstart."""

import numpy as np

from msbreg_tf.data.labelled.epochs import central_images
from msbreg_tf.data.labelled.records import check_labelled, check_none_lost
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.errors import note_broken

_AT_ONCE = 256


def labelled_images(data: LabelledRecords, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Loads a labelled split.

    It holds everything in memory: 3 · S² bytes an image (STL-10's test split at 96 px: 221 MB;
    ImageNet's validation split at 224 px: 7.5 GB). Open the split with a limit where that is too
    much.

    Args:
      data: the split.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.

    Returns:
      images, uint8 [n, S, S, 3], and labels, int64 [n]. Files that can't be read are named and left
      out.

    Raises:
      ValueError: no images, none that can be read, or some without a label.
    """
    batches = central_images(data, image_size=image_size).batch(_AT_ONCE).as_numpy_iterator()
    columns = [np.concatenate(column) for column in zip(*batches)]
    if not columns or not columns[3].any():
        raise ValueError(f"{data.name}: no image that can be read. Choose another split.")
    positions, images, labels, good = columns
    check_labelled(labels, data.name)
    broken = positions[~good]
    check_none_lost(labels, broken, data.classes, data.name)
    note_broken(data.name, [data.files[row] for row in broken], len(labels))
    return images[good], labels[good]
