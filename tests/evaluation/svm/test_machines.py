import dataclasses

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from msbreg_tf.evaluation.svm.average_precision import average_precision, average_precision_11
from msbreg_tf.evaluation.svm.machines import COSTS, normalised, svm_of_class, svm_results

NAMES = ["cat", "dog", "sheep"]
GRID = (0.01, 1.0, 100.0)


def multilabel(n, seed):
    """Each class shifts its own direction; labels overlap; a tenth of the absent are difficult."""
    rng = np.random.default_rng(seed)
    shown = rng.random([n, 3]) < 0.3
    features = rng.normal(size=[n, 6]) + 5
    features[:, :3] += 2.5 * shown
    targets = np.where(shown, 1, np.where(rng.random([n, 3]) < 0.1, 0, -1))
    return features.astype(np.float32), targets.astype(np.int8)


@pytest.fixture(scope="module")
def data():
    return (*multilabel(90, 0), *multilabel(120, 1))


@pytest.fixture(scope="module")
def results(data):
    return svm_results(*data, costs=GRID, names=NAMES)


def test_the_grid_is_vissls():
    assert COSTS == (0.01, 0.1, 1, 2, 5, 10, 15, 20, 50, 100, 1000)


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_class_is_the_protocol_spelled_out(data, results, column):
    train, train_targets, test, test_targets = data
    train, test = (x / (np.linalg.norm(x, axis=1)[:, None] + 1e-5) for x in (train, test))
    train, test = train.astype(np.float64), test.astype(np.float64)
    label = np.where(train_targets[:, column] == 1, 1, -1)  # difficult: negative

    def svm(cost):
        weight = {1: 2, -1: 1}
        return LinearSVC(C=cost, class_weight=weight, dual=True, max_iter=2000, random_state=0)

    folds = [
        cross_val_score(svm(c), train, label, cv=3, scoring="average_precision").mean()
        for c in GRID
    ]
    best = GRID[int(np.argmax(folds))]
    counted = test_targets[:, column] != 0  # difficult: left out
    decision = svm(best).fit(train, label).decision_function(test)[counted]
    positive = test_targets[counted, column] == 1
    found = results[column]
    np.testing.assert_allclose(found.cross_validation, folds, rtol=1e-4)
    assert found.cost == best
    assert found.average_precision == pytest.approx(average_precision(decision, positive), 1e-4)
    assert found.average_precision_11 == pytest.approx(
        average_precision_11(decision, positive), 1e-4
    )


def test_separable_classes_are_found_and_chance_is_not_beaten(data, results):
    assert list(results) == [0, 1, 2]
    train, train_targets, test, test_targets = data
    prevalence = np.mean(test_targets == 1) / np.mean(test_targets != 0)
    for result in results.values():
        assert result.average_precision > 0.75
    rng = np.random.default_rng(2)
    noise = svm_results(
        rng.normal(size=train.shape), train_targets, rng.normal(size=test.shape), test_targets,
        costs=[1.0],
    )  # fmt: skip
    assert np.mean([r.average_precision for r in noise.values()]) < prevalence + 0.12


def test_a_collapsed_encoder_gets_the_share_of_positives(data):
    _, train_targets, _, test_targets = data
    found = svm_results(
        np.ones([90, 4]), train_targets, np.ones([120, 4]), test_targets, costs=[1.0]
    )
    for column, result in found.items():
        counted = test_targets[:, column] != 0
        share = np.mean(test_targets[counted, column] == 1)
        assert result.average_precision == pytest.approx(share)
        assert result.average_precision_11 == pytest.approx(share)


def test_difficult_test_images_do_not_count(data, results):
    """Wherever they would rank: their features may be anything."""
    train, train_targets, test, test_targets = data
    difficult = test_targets[:, 0] == 0
    assert difficult.any()
    changed = np.where(difficult[:, None], 1000 * np.eye(6)[0], test)
    found = svm_results(train, train_targets[:, :1], changed, test_targets[:, :1], costs=GRID)
    assert found[0] == results[0]


def test_difficult_train_images_are_negatives(data, results):
    train, train_targets, test, test_targets = data
    as_absent = np.where(train_targets == 0, -1, train_targets)
    assert svm_results(train, as_absent, test, test_targets, costs=GRID) == results


def test_lengths_of_features_do_not_matter_but_for_the_epsilon():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalised(rows), [[3 / 5.00001, 4 / 5.00001], [0, 0]])


def test_finished_classes_are_not_computed_again(data, results):
    kept = dataclasses.replace(results[1], cost=7.0)
    seen = {}
    found = svm_results(*data, costs=GRID, done={1: kept}, on_class=seen.__setitem__)
    assert found == {**results, 1: kept}
    assert seen == {0: results[0], 2: results[2]}


def test_of_equal_costs_the_smallest_is_chosen():
    rng = np.random.default_rng(0)
    target = np.repeat([1, -1], 15)
    separable = rng.normal(size=[30, 2]) + 50 * target[:, None]
    found = svm_of_class(separable, target, separable, target, costs=GRID)
    assert found.cross_validation == (1.0, 1.0, 1.0)
    assert (found.cost, found.average_precision) == (0.01, 1.0)


def without(targets, column, left):
    targets = targets.copy()
    targets[np.flatnonzero(targets[:, column] == 1)[left:], column] = -1
    return targets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, t, g, u: (f, without(t, 1, 2), g, u), "class dog: 2 positive train images.* 3"),
        (lambda f, t, g, u: (f, t, g, without(u, 2, 0)), "class sheep: 0 positive test images"),
        (lambda f, t, g, u: (f, np.ones_like(t), g, u), "class cat: 0 negative train images"),
        (lambda f, t, g, u: (f, t, g * np.nan, u), "test features are not all finite"),
        (lambda f, t, g, u: (f[1:], t, g, u), r"train features \(89, 6\) for targets \(90, 3\)"),
        (lambda f, t, g, u: (f, t, g, u[:, :2]), "test targets of 2 classes, not 3"),
    ],
)
def test_bad_data_are_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        svm_results(*change(*data), costs=GRID, names=NAMES)
