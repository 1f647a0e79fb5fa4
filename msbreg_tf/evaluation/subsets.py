"""Choosing images by class and seed: a validation part, and a class-balanced fraction."""

import math

import numpy as np


def stratified_holdout(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sets a part of every class aside.

    Args:
      labels: int [n].
      fraction: of each class, rounded; at least one image of a class that has two, never all of it.
      seed: decides which.

    Returns:
      kept and held, int64 [·]: rows in ascending order, disjoint, together 0 … n − 1.

    Raises:
      ValueError: `fraction` is not between 0 and 1, or no class has two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"a validation fraction of {fraction}: expected between 0 and 1.")
    held = []
    for rows in _shuffled_classes(labels, seed):
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        held.append(rows[:count])
    held = np.sort(np.concatenate(held))
    if not len(held):
        raise ValueError(
            f"every class has a single image among {len(labels)}: nothing can be set aside for "
            "validation. Use more images, or fix the learning rate and the weight decay."
        )
    return np.setdiff1d(np.arange(len(labels)), held), held


def class_balanced(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Takes equally many images of every class, as SimCLR's 1 % and 10 % lists do.

    Args:
      labels: int [n].
      fraction: of all n images; each class gives round(fraction · n / classes) of them, at least
        one, and all of them where it has fewer. 1 takes every image, balanced or not.
      seed: decides which.

    Returns:
      int64 [·]: rows in ascending order.

    Raises:
      ValueError: `fraction` is not above 0 and at most 1, or not one image for each class.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"--fraction={fraction}: expected more than 0 and at most 1.")
    if fraction == 1:
        return np.arange(len(labels))
    classes = _shuffled_classes(labels, seed)
    if round(fraction * len(labels)) < len(classes):
        raise ValueError(
            f"--fraction={fraction}: {fraction:g} of {len(labels):,} images is less than one for "
            f"each of the {len(classes)} classes. Use at least --fraction="
            f"{math.ceil(1e6 * len(classes) / len(labels)) / 1e6:g}."
        )
    count = max(1, round(fraction * len(labels) / len(classes)))
    return np.sort(np.concatenate([rows[:count] for rows in classes]))


def _shuffled_classes(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Rows of each class that occurs, in an order that depends on (seed, class) alone."""
    # One sort instead of a scan per class: iNaturalist has 8,142 classes.
    by_class = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[by_class], return_index=True)
    return [
        np.random.default_rng([seed, int(label)]).permutation(rows)
        for label, rows in zip(classes, np.split(by_class, starts[1:]))
    ]
