import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from msbreg_tf.evaluation.svm.average_precision import (
    average_precision,
    average_precision_11,
    precision_and_recall,
)


def slow_twin(scores, positive):
    """All-point AP, straight from its definition: at each positive's recall the best precision."""
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    total = 0.0
    thresholds = sorted(set(scores[positive]), reverse=True)
    for threshold in thresholds:
        newly_found = np.sum(positive & (scores == threshold))
        best = max(np.mean(positive[scores >= other]) for other in set(scores[scores <= threshold]))
        total += newly_found / positive.sum() * best
    return total


def test_by_hand():
    """Ranking + − + − +: precisions 1, 1/2, 2/3, 1/2, 3/5 at recalls 1/3, 1/3, 2/3, 2/3, 1."""
    scores, positive = [5, 4, 3, 2, 1], [1, 0, 1, 0, 1]
    precision, recall = precision_and_recall(scores, positive)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 1 / 2, 3 / 5])
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    assert average_precision(scores, positive) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Recalls 0 to 0.3 lie below 1/3, 0.4 to 0.6 below 2/3, 0.7 to 1 below 1.
    expected = (4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11
    assert average_precision_11(scores, positive) == pytest.approx(expected)


def test_interpolation_takes_a_later_better_precision():
    """Ranking − + +: precisions 0, 1/2, 2/3; interpolated 2/3 everywhere."""
    scores, positive = [3, 2, 1], [0, 1, 1]
    assert average_precision(scores, positive) == pytest.approx(2 / 3)
    assert average_precision_11(scores, positive) == pytest.approx(2 / 3)
    assert average_precision_score(positive, scores) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_eleven_points_at_an_exact_tenth():
    """10 positives, 3 first, then 10 negatives, then 7: recall 0.3 still has precision 1."""
    positive = [1] * 3 + [0] * 10 + [1] * 7
    scores = np.arange(20)[::-1]
    assert average_precision_11(scores, positive) == pytest.approx((4 * 1 + 7 * 0.5) / 11)


@pytest.mark.parametrize("function", [average_precision, average_precision_11])
def test_perfect_and_worst_rankings(function):
    assert function([4, 3, 2, 1], [1, 1, 0, 0]) == 1
    assert function([4, 3, 2, 1], [0, 0, 0, 1]) == pytest.approx(1 / 4)


@pytest.mark.parametrize("function", [average_precision, average_precision_11])
def test_ties_do_not_depend_on_the_order_of_the_images(function):
    positive = np.array([1, 0, 0, 1, 0])
    assert function(np.zeros(5), positive) == pytest.approx(2 / 5)  # a collapsed encoder
    scores = np.array([2, 2, 1, 1, 1])  # one of two, then two of five: both give 1/2, 2/5
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 3, 4, 2]):
        found = average_precision(scores[order], positive[order])
        assert found == pytest.approx((1 / 2 + 2 / 5) / 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [3, 1000])
def test_against_a_slow_twin_with_and_without_ties(seed, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, 60)
    positive = rng.random(60) < 0.3
    assert average_precision(scores, positive) == pytest.approx(slow_twin(scores, positive))


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_is_the_area_without_interpolation(seed):
    rng = np.random.default_rng(seed)
    scores, positive = rng.normal(size=80), rng.random(80) < 0.3
    ours, theirs = average_precision(scores, positive), average_precision_score(positive, scores)
    assert theirs <= ours + 1e-12
    precision, recall = precision_and_recall(scores, positive)
    plain = np.sum(np.diff(recall, prepend=0) * precision)
    assert plain == pytest.approx(theirs)


def test_scikit_learn_coincides_where_precision_only_falls():
    """First place right, then ever more negatives between positives."""
    positive = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1])
    scores = np.arange(len(positive))[::-1]
    found = average_precision(scores, positive)
    assert found == pytest.approx(average_precision_score(positive, scores))


@pytest.mark.parametrize(
    ("scores", "positive", "message"),
    [
        ([1, 2], [0, 0], "no positive image"),
        ([], [], "no positive image"),
        ([1, 2], [1], r"scores \(2,\) for labels \(1,\)"),
        ([np.nan, 2], [1, 0], "not finite"),
    ],
)
def test_bad_rankings_are_refused(scores, positive, message):
    with pytest.raises(ValueError, match=message):
        average_precision(scores, positive)
