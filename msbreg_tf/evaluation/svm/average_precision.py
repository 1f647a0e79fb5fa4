"""Average precision of a ranking, as Pascal VOC defines it, in both of its forms."""

import numpy as np


def precision_and_recall(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every distinct score, from the highest down.

    Images of equal score enter together: no order among them is better founded than another. (The
    development kit takes whichever comes first; without ties there is no difference. With them a
    collapsed encoder gets the share of positives, not the luck of the order.)

    Args:
      scores: float [n], higher means more likely positive.
      positive: bool [n].

    Returns:
      precision and recall, float64 [number of distinct scores].

    Raises:
      ValueError: shapes differ, a score is not finite, or there is no positive.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, bool)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise ValueError(f"scores {scores.shape} for labels {positive.shape}: expected equal [n].")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite: such a ranking has no average precision.")
    if not positive.any():
        raise ValueError("no positive image: average precision is undefined without one.")
    order = np.argsort(-scores, kind="stable")
    last_of_its_score = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(positive[order])[last_of_its_score]
    shown = np.flatnonzero(last_of_its_score) + 1
    return found / shown, found / found[-1]


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the interpolated precision, at all points (VOC since 2010).

    Σ (r_i − r_{i−1}) · max over r ≥ r_i of precision(r). scikit-learn's `average_precision_score`
    does not interpolate, so it is at most this, and equal where precision only falls.

    Args and errors: as for `precision_and_recall`.

    Returns:
      0 to 1.
    """
    return area(*precision_and_recall(scores, positive))


def area(precision: np.ndarray, recall: np.ndarray) -> float:
    """The area under the interpolated precision, both float [n] in the order of the ranking."""
    gained = np.diff(recall, prepend=0.0)
    return float(np.sum(gained * _interpolated(precision)))


def average_precision_11(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean interpolated precision at recalls 0, 0.1, …, 1 (VOC2007's own metric).

    Args and errors: as for `precision_and_recall`.

    Returns:
      0 to 1.
    """
    precision, recall = precision_and_recall(scores, positive)
    positives = int(np.sum(positive))
    return eleven_points(precision, np.rint(recall * positives), positives)


def eleven_points(precision: np.ndarray, found: np.ndarray, positives: int) -> float:
    """Mean interpolated precision at recalls 0, 0.1, …, 1; 0 at a recall that is not reached.

    Args:
      precision: float [n], in the order of the ranking.
      found: whole numbers [n], the positives down to there. In whole numbers recall ≥ tenth/10 is
        exact: 3/10 and 0.1 · 3 differ in floating point.
      positives: how many there are to find.
    """
    interpolated = np.append(_interpolated(precision), 0.0)
    first = [np.sum(10 * found < tenth * positives) for tenth in range(11)]  # found only rises
    return float(np.mean(interpolated[first]))


def _interpolated(precision: np.ndarray) -> np.ndarray:
    """The best precision at this recall or a higher one."""
    return np.maximum.accumulate(precision[::-1])[::-1]
