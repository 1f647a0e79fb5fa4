"""Labels of a split, and what they must be."""

import numpy as np

from msbreg_tf.data.sources.records import LabelledRecords


def read_labels(data: LabelledRecords) -> np.ndarray:
    """All labels of a split, int64 [n]; reads every record, decodes none.

    Raises:
      ValueError: no records, or some without a label.
    """
    batches = data.records.map(lambda _, label: label).batch(4096).as_numpy_iterator()
    labels = list(batches)
    if not labels:
        raise ValueError("the split has no images. Choose another split.")
    labels = np.concatenate(labels).astype(np.int64)
    check_labelled(labels, "the split")
    return labels


def check_labelled(labels: np.ndarray, what: str) -> None:
    """Checks that every image has a label.

    Args:
      labels: int [n]; a data set says −1 where there is none.
      what: how the message calls the images, "split test".

    Raises:
      ValueError: some have none.
    """
    if len(labels) and labels.min() < 0:
        raise ValueError(f"{what} has images without labels. Choose a labelled split.")
