"""What labels must be for features to be classified by them."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

SPLITS = ("the training split", "the test split")


def check_classes(
    train: np.ndarray, test: Optional[np.ndarray] = None, *, names: Sequence[str] = SPLITS
) -> None:
    """Checks that there is something to tell apart, and that it can be learnt from `train`.

    Args:
      train: int [n], labels of the training split.
      test: int [m], labels of the test split; None leaves them out.
      names: how a message calls the two splits.

    Raises:
      ValueError: there is one class only, or a class that only the test split has.
    """
    classes = np.unique(train)
    if len(classes) < 2:
        raise ValueError(
            f"{names[0]}: all its {len(train)} images are of one class. Choose a split with at "
            "least two."
        )
    unknown = np.setdiff1d(test, classes) if test is not None else ()
    if len(unknown):
        raise ValueError(
            f"{names[1]}: {len(unknown)} of its classes are not in {names[0]}, the first is label "
            f"{unknown[0]}. Choose splits of the same classes."
        )


def check_lengths(name: str, features: np.ndarray, labels: np.ndarray) -> None:
    """Checks that there is a label for each row of features, and at least one.

    Raises:
      ValueError: says how many there are of each.
    """
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} {name} features for {len(labels)} {name} labels.")
    if not len(labels):
        raise ValueError(f"the {name} split has no images. Choose another split.")
