"""VOC's average precision of detections, worked by hand and against a slow twin."""

import numpy as np
import pytest

from msbreg_tf.evaluation.detection.pictures import Split, picture
from msbreg_tf.evaluation.detection.voc_ap import OVERLAPS, Detections, voc_metrics

# VOC's boxes hold their last pixel: from the corner, (0, 0, 10, 10) are its pixels 1 to 10.
FIRST, SECOND, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (60, 60, 70, 70)


FROM_ONE = np.array([1, 1, 0, 0])


def shown(name, *objects):
    """A picture of (box, class, difficult) each."""
    return picture(name, f"{name}.jpg", (100, 100), objects)


def found(*detections):
    """`Detections` of (box, class, score) each."""
    boxes, labels, scores = zip(*detections)
    return Detections(np.array(boxes, float), np.array(labels), np.array(scores, float))


def metrics(pictures, detections, classes=("cat",)):
    return voc_metrics(Split(tuple(classes), tuple(pictures)), detections)


def test_by_hand():
    """Ranking + − +, three objects: precisions 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3; one missed."""
    pictures = [shown("a", (FIRST, 0, False), (SECOND, 0, False)), shown("b", (FIRST, 0, False))]
    values = metrics(
        pictures,
        {"a": found((FIRST, 0, 0.9), (FAR, 0, 0.8)), "b": found((FIRST, 0, 0.7))},
    )
    assert values["box AP50 %"] == pytest.approx(100 * (1 / 3 + 2 / 9))
    # Recalls 0 to 0.3 have precision 1, 0.4 to 0.6 have 2/3, and the last four are not reached.
    assert values["box AP50 11-point %"] == pytest.approx(100 * (4 + 3 * 2 / 3) / 11)
    # The boxes are exact, so every limit gives the same.
    assert values["box AP75 %"] == values["box AP50 %"] == pytest.approx(values["box AP %"])


def test_difficult_objects_count_neither_way():
    """Of two cats one is difficult: found or not, twice or not, it changes nothing."""
    truth = [shown("a", (FIRST, 0, False), (SECOND, 0, True))]
    alone = metrics(truth, {"a": found((FIRST, 0, 0.5))})
    both = metrics(
        truth, {"a": found((SECOND, 0, 0.9), (SECOND, 0, 0.8), (FIRST, 0, 0.5), (FAR, 0, 0.4))}
    )
    assert alone == both
    assert set(alone.values()) == {100.0}
    easy = [shown("a", (FIRST, 0, False), (SECOND, 0, False))]  # were it not difficult
    assert metrics(easy, {"a": found((FIRST, 0, 0.5))})["box AP50 %"] == pytest.approx(50)


def test_an_object_is_found_once():
    """+ − + instead of + + for two objects, when the best detection comes twice."""
    truth = [shown("a", (FIRST, 0, False), (SECOND, 0, False))]
    twice = found((SECOND, 0, 0.5), (FIRST, 0, 0.9), (FIRST, 0, 0.8))
    assert metrics(truth, {"a": twice})["box AP50 %"] == pytest.approx(100 * (1 / 2 + 2 / 3 / 2))


def test_a_detection_belongs_to_the_object_that_it_overlaps_most():
    """One that overlaps two objects by more than the limit is not passed on to the second."""
    wide = (0, 0, 14, 10)  # overlaps FIRST by 110/154 and the other by 132/154
    other = (2, 0, 14, 10)
    truth = [shown("a", (FIRST, 0, False), (other, 0, False))]
    values = metrics(truth, {"a": found((other, 0, 0.9), (wide, 0, 0.8))})
    assert values["box AP50 %"] == pytest.approx(50)


def test_an_overlap_of_exactly_the_limit_is_none():
    """10×10 pixels in 10×20 overlap by exactly one half; one pixel less of the larger is more."""
    truth = [shown("a", (FIRST, 0, False))]
    assert metrics(truth, {"a": found(((0, 0, 10, 20), 0, 0.9))})["box AP50 %"] == 0
    assert metrics(truth, {"a": found(((0, 0, 10, 19), 0, 0.9))})["box AP50 %"] == 100


def test_sides_hold_their_last_pixel():
    """Of 4×4 and 4×5 pixels 16/20 are common, and .8 is no more than .8; without their last pixels
    it would be 9/12, and counted from the corner with a last pixel 25/30, which is more than .8."""
    truth = [shown("a", ((0, 0, 4, 4), 0, False))]
    values = metrics(truth, {"a": found(((0, 0, 4, 5), 0, 0.9))})
    assert values["box AP %"] == pytest.approx(100 * 6 / 10)  # right at .5 to .75
    pixel = [shown("a", ((5, 5, 6, 6), 0, False))]
    assert set(metrics(pixel, {"a": found(((5, 5, 6, 6), 0, 0.9))}).values()) == {100.0}


def test_mean_over_limits_and_classes():
    """The dog's box overlaps by 10·10 of 10·13, .769: right at .5 to .75, wrong at .8 to .95."""
    truth = [shown("a", (FIRST, 0, False), (SECOND, 1, False))]
    values = metrics(
        truth,
        {"a": found((FIRST, 0, 0.9), ((20, 0, 33, 10), 1, 0.9))},
        ("cat", "dog", "never shown"),
    )
    assert values["box AP50 %"] == values["box AP75 %"] == 100
    assert values["box AP %"] == pytest.approx(100 * (1 + 6 / 10) / 2)


def test_a_class_or_picture_without_detections():
    truth = [shown("a", (FIRST, 0, False)), shown("b", (FIRST, 1, False)), shown("c")]
    values = metrics(truth, {"c": found((FIRST, 0, 0.9)), "a": found((FIRST, 0, 0.8))}, ("x", "y"))
    assert values["box AP50 %"] == pytest.approx(100 * (1 / 2 + 0) / 2)
    with pytest.raises(ValueError, match="no objects that are to be found"):
        metrics([shown("a", (FIRST, 0, True))], {})


def twin(pictures, detections, limit):
    """(area, 11-point) of one class, detection by detection, as the kit goes."""
    seen = [
        (score, name, box)
        for name, own in detections.items()
        for box, score in zip(own.boxes, own.scores)
    ]
    ranking = sorted(seen, key=lambda each: -each[0])
    truth = {p.name: (p.boxes + FROM_ONE, p.ignored) for p in pictures}
    taken, right, wrong, curve = set(), 0, 0, []
    positives = sum(np.sum(~ignored) for _, ignored in truth.values())
    for _, name, box in ranking:
        boxes, ignored = truth[name]
        overlaps = [_overlap(box + FROM_ONE, other) for other in boxes]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if overlaps and overlaps[best] > limit:
            if ignored[best]:
                continue
            right, wrong = right + ((name, best) not in taken), wrong + ((name, best) in taken)
            taken.add((name, best))
        else:
            wrong += 1
        curve.append((right, right / (right + wrong)))
    best_from = [
        max([p for r, p in curve if r >= count], default=0) for count in range(positives + 1)
    ]
    at = [max([p for r, p in curve if 10 * r >= k * positives], default=0) for k in range(11)]
    return sum(best_from[1:]) / positives, np.mean(at)


def _overlap(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) + 1
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(one[2:] - one[:2] + 1) + np.prod(other[2:] - other[:2] + 1) - common)


@pytest.mark.parametrize("seed", range(4))
def test_against_a_slow_twin(seed):
    rng = np.random.default_rng(seed)
    pictures, detections = [], {}
    for number in range(12):
        boxes = np.array([_box(rng) for _ in range(rng.integers(4))]).reshape(-1, 4)
        objects = [(tuple(box), 0, bool(rng.random() < 0.3)) for box in boxes]
        pictures.append(shown(str(number), *objects))
        near = [box + rng.integers(-3, 4, 4) for box in boxes for _ in range(2)]
        seen = [*near, _box(rng)]
        detections[str(number)] = found(*((tuple(box), 0, rng.random()) for box in seen))
    expected = np.array([twin(pictures, detections, limit) for limit in OVERLAPS])
    values = metrics(pictures, detections)
    assert 0 < values["box AP75 %"] < values["box AP50 %"] < 100
    for form, column in (("%", 0), ("11-point %", 1)):
        assert values[f"box AP50 {form}"] == pytest.approx(100 * expected[0, column])
        assert values[f"box AP75 {form}"] == pytest.approx(100 * expected[5, column])
        assert values[f"box AP {form}"] == pytest.approx(100 * expected[:, column].mean())


def _box(rng):
    corner = rng.integers(0, 60, 2)
    return np.concatenate([corner, corner + rng.integers(12, 40, 2)])
