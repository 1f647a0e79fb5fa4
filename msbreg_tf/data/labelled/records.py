"""Labels of a split, and what they must be."""

from collections.abc import Sequence

import numpy as np

from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.errors import NoLabelsError


def read_labels(data: LabelledRecords) -> np.ndarray:
    """All labels of a split, int64 [n]; reads every record, decodes none.

    Raises:
      ValueError: no records, or some without a label.
    """
    batches = data.records.map(lambda _, label: label).batch(4096).as_numpy_iterator()
    labels = list(batches)
    if not labels:
        raise ValueError(f"{data.name}: no images. Choose another split.")
    labels = np.concatenate(labels).astype(np.int64)
    check_labelled(labels, data.name)
    return labels


def check_labelled(labels: np.ndarray, what: str) -> None:
    """Checks that every image has a label.

    Args:
      labels: int [n]; a data set says −1 where there is none.
      what: how the message calls the images, "cifar10 test".

    Raises:
      NoLabelsError: some have none.
    """
    if len(labels) and labels.min() < 0:
        raise NoLabelsError(f"{what} has images without labels. Choose a labelled split.")


def check_none_lost(
    labels: np.ndarray, broken: Sequence[int], classes: Sequence[str], what: str
) -> None:
    """Checks that every class has an image that can be read, if it has images at all.

    Args:
      labels: int [n], of all images.
      broken: positions of those that can't be read.
      classes: name of each label.
      what: how the message calls the images.

    Raises:
      ValueError: names a class that lost all of its images.
    """
    left = np.delete(labels, np.asarray(broken, np.int64))
    lost = np.setdiff1d(labels, left)
    if len(lost):
        names = ", ".join(str(classes[label]) for label in lost[:5])
        raise ValueError(
            f"{what}: none of the images of {len(lost)} of its classes can be read ({names}). "
            "Mend or replace the files, or remove the folder of the class from all splits."
        )
