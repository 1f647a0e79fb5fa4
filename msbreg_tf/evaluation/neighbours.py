"""Is the nearest neighbour of a view another view of the same picture? It needs no labels."""

import math
from typing import Optional

import numpy as np

from msbreg_tf.evaluation.rows import unit_rows


def same_picture(features: np.ndarray, *, block: int = 1024) -> float:
    """Share of views whose nearest other view, by cosine, is of the same picture.

    Args:
      features: float [n, K, F], of K views of n pictures, K ≥ 2 and n ≥ 2; not normalised.
      block: views compared at once.

    Returns:
      0 to 1. Of features that say nothing it is (K − 1) / (n·K − 1).

    Raises:
      ValueError: fewer than two pictures or two views.
    """
    pictures, views = features.shape[:2]
    if pictures < 2 or views < 2:
        raise ValueError(f"features {features.shape}: expected [n, K, F] with n ≥ 2 and K ≥ 2.")
    rows = unit_rows(features.reshape(pictures * views, -1), np.float32)
    found = 0
    for start in range(0, len(rows), block):
        similarity = rows[start : start + block] @ rows.T
        own = np.arange(start, start + len(similarity))
        similarity[np.arange(len(own)), own] = -np.inf
        found += int((similarity.argmax(axis=1) // views == own // views).sum())
    return found / len(rows)


def judge_learning(trained: float, untrained: Optional[float], pictures: int) -> tuple[str, str]:
    """Says in words whether an encoder tells pictures apart better than before its training.

    An encoder that has hardly been trained has not collapsed either, so its spectrum says nothing
    about that. The threshold is ours: two standard errors of the difference.

    Args:
      trained: what `same_picture` gave for the encoder.
      untrained: the same for its network with fresh weights and the same views; None if not known.
      pictures: how many there were.

    Returns:
      ('yes', 'not visibly' or 'not known', one sentence with the numbers).
    """
    share = (
        f"the nearest neighbour of a view is the other view of its picture for {100 * trained:.1f} "
        f"% of {2 * pictures:,} views"
    )
    if untrained is None:
        return "not known", f"{share}; the export has no encoder.keras to compare with untrained."
    error = math.sqrt(sum(p * (1 - p) for p in (trained, untrained)) / pictures)
    verdict = "yes" if trained > untrained + 2 * error else "not visibly"
    return verdict, (
        f"{share}, and for {100 * untrained:.1f} % by the same network before training (two "
        f"standard errors: {200 * error:.1f} %)."
    )
