"""VOC's average precision of detections, by the rules of its development kit."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from msbreg_tf.evaluation.detection.pictures import Split
from msbreg_tf.evaluation.svm.average_precision import area, eleven_points

OVERLAPS = tuple(percent / 100 for percent in range(50, 100, 5))


@dataclasses.dataclass(frozen=True)
class Detections:
    """What was found in one picture, m objects in any order.

    Attributes:
      boxes: float [m, 4], left, top, right, bottom in pixels from the image's corner.
      labels: int [m], rows of the split's `names`.
      scores: float [m].
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Ranking:
    """The m detections of a class, best first, each with the object that it overlaps most.

    Attributes:
      overlaps: float [m]; 0 where the picture has no object of the class.
      objects: int [m], numbers of those objects; −1 where there is none.
      difficult: bool [number of objects].
    """

    overlaps: np.ndarray
    objects: np.ndarray
    difficult: np.ndarray


def voc_metrics(split: Split, detections: Mapping[str, Detections]) -> dict[str, float]:
    """Mean average precision over classes in %, in both of VOC's forms.

    The kit's rules: boxes hold their last pixel, so a side has right − left + 1 of them; a
    detection belongs to the object that it overlaps most, of all those of its class in the picture,
    and is correct if that overlap is *more* than the limit and no better detection has had the
    object; detections of "difficult" objects count neither for nor against, and these objects are
    not to be found. AP is the mean over the limits 0.50, 0.55, …, 0.95, as Detectron2 reports it.

    Detections of equal score keep their order. A recall of exactly k/10 counts for the 11-point
    form, where floating point sometimes loses it elsewhere.

    Args:
      split: what there is to find.
      detections: {name of the picture: what was found}; a picture may be missing.

    Returns:
      {"box AP %", "box AP50 %", "box AP75 %" and the same with "11-point": 0 to 100}. A class
      without objects that are to be found is in no mean.

    Raises:
      ValueError: no class has such objects.
    """
    curves = [
        [_forms(ranking, overlap) for overlap in OVERLAPS]
        for ranking in (_ranking(split, detections, label) for label in range(len(split.names)))
        if not ranking.difficult.all()
    ]
    if not curves:
        raise ValueError("the test split has no objects that are to be found.")
    area_and_11 = 100 * np.mean(curves, axis=0)  # [limits, 2]
    metrics = {}
    for form, values in zip(("%", "11-point %"), area_and_11.T):
        metrics[f"box AP {form}"] = float(np.mean(values))
        metrics[f"box AP50 {form}"] = float(values[OVERLAPS.index(0.5)])
        metrics[f"box AP75 {form}"] = float(values[OVERLAPS.index(0.75)])
    return metrics


def _ranking(split: Split, detections: Mapping[str, Detections], label: int) -> _Ranking:
    found, difficult, count = [], [], 0
    for picture in split.pictures:
        chosen = picture.labels == label
        difficult.append(picture.ignored[chosen])
        if picture.name in detections:
            own = detections[picture.name]
            mine = own.labels == label
            overlaps = _overlaps(_pixels(own.boxes[mine]), _pixels(picture.boxes[chosen]))
            if chosen.any():
                best = np.stack([own.scores[mine], overlaps.max(1), overlaps.argmax(1) + count])
            else:
                best = np.stack([own.scores[mine], *np.tile([[0.0], [-1.0]], (1, mine.sum()))])
            found.append(best)
        count += int(chosen.sum())
    scores, overlaps, objects = np.concatenate(found, axis=1) if found else np.zeros((3, 0))
    order = np.argsort(-scores, kind="stable")
    return _Ranking(overlaps[order], objects[order].astype(int), np.concatenate(difficult))


def _forms(ranking: _Ranking, limit: float) -> tuple[float, float]:
    """Average precision at one limit of the overlap: by area, and at 11 points; 0 to 1."""
    hits = ranking.overlaps > limit
    is_difficult = hits & ranking.difficult[ranking.objects]
    _, first = np.unique(np.where(hits, ranking.objects, -1), return_index=True)
    correct = np.zeros(len(hits), bool)
    correct[first] = True
    correct &= hits & ~is_difficult
    found = np.cumsum(correct)[~is_difficult]
    positives = int(np.sum(~ranking.difficult))
    precision = found / np.arange(1, len(found) + 1)
    return area(precision, found / positives), eleven_points(precision, found, positives)


def _pixels(boxes: np.ndarray) -> np.ndarray:
    """Coordinates from the corner → VOC's first and last pixel, counted from 1."""
    return boxes + np.array([1.0, 1.0, 0.0, 0.0])


def _overlaps(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4] that hold their last pixel."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    common = np.prod(np.maximum(high - low + 1, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1) for boxes in (ours, theirs)]
    return common / (areas[0][:, None] + areas[1][None] - common)
