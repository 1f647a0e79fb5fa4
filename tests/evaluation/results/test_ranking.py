import numpy as np
import pytest
from scipy import stats

from msbreg_tf.evaluation.results.comparison import compare
from msbreg_tf.evaluation.results.ranking import (
    RankCorrelation,
    correlation_rows,
    number,
    rank_correlations,
    ranked,
    spearman,
    with_clid,
)
from tests.evaluation.results.test_comparison import result

GEOMETRY = {"name": "geometry", "dataset": "sample"}
LINEAR = {"name": "linear", "dataset": "sample"}
KNN = {"name": "knn", "dataset": "sample", "k": 20}
NAMES = ("a", "b", "c", "d")


def measured(metric, values, protocol=GEOMETRY):
    return [
        result(name, value, protocol, metric)
        for name, value in zip(NAMES, values)
        if value is not None
    ]


def names(comparison):
    return [row["run"] for row in comparison.rows]


@pytest.mark.parametrize("seed", range(3))
def test_spearman_equals_scipy_with_and_without_ties(seed):
    rng = np.random.default_rng(seed)
    for values in (rng.normal(size=(2, 9)), rng.integers(0, 4, size=(2, 12)).astype(float)):
        expected = stats.spearmanr(*values).statistic
        assert spearman(list(zip(*values))) == pytest.approx(expected)


def test_spearman_by_hand_and_where_there_is_no_order():
    assert spearman([(1, 10), (2, 20), (3, 15)]) == pytest.approx(0.5)  # 1 − 6 · 2 / (3 · 8)
    assert spearman([(1, 3), (2, 2), (9, 1)]) == pytest.approx(-1.0)
    assert spearman([(1, 3), (2, 2)]) is None
    assert spearman([(1, 3), (1, 2), (1, 5)]) is None


def test_correlations_of_every_measure_with_every_accuracy():
    """α-ReQ by its distance from 1, alignment by its negative, and n where something is missing."""
    results = [
        *measured("top-1 %", [10.0, 20.0, 30.0, 40.0], LINEAR),
        *measured("top-1 %", [4.0, 3.0, None, 1.0], KNN),
        *measured("LiDAR", [5.0, 6.0, 7.0, 8.0]),
        *measured("alpha-ReQ", [3.0, 0.2, 1.5, 1.1]),
        *measured("alignment", [0.9, 0.7, 0.8, 0.1]),
        *measured("RankMe", [9.0, None, float("nan"), 1.0]),
    ]
    found = {(each.measure, each.accuracy): each for each in rank_correlations(results)}
    linear, knn = "linear top-1 %", "knn top-1 %"
    expected = {
        ("geometry LiDAR", linear): (4, 1.0),
        ("geometry LiDAR", knn): (3, -1.0),
        ("geometry alpha-ReQ", linear): (4, 1.0),
        ("geometry alpha-ReQ", knn): (3, -1.0),
        ("geometry alignment", linear): (4, 0.8),
        ("geometry alignment", knn): (3, -1.0),
        ("geometry RankMe", linear): (2, None),
        ("geometry RankMe", knn): (2, None),
    }
    assert {key: (each.n, each.spearman) for key, each in found.items()} == {
        key: (n, rho if rho is None else pytest.approx(rho)) for key, (n, rho) in expected.items()
    }
    rows = correlation_rows(list(found.values()))
    assert rows[0] == {
        "rank correlation of": "geometry LiDAR",
        f"with {linear}": "+1.00 (n = 4)",
        f"with {knn}": "-1.00 (n = 3)",
    }
    assert rows[3][f"with {knn}"] == "– (n = 2)"
    assert rank_correlations(measured("LiDAR", [1.0, 2.0, 3.0])) == []


def test_the_last_of_repeated_measurements_counts_and_protocols_are_not_mixed():
    other = GEOMETRY | {"seed": 7}
    results = [
        *measured("top-1 %", [1.0, 2.0, 3.0], LINEAR),
        *measured("LiDAR", [9.0, 2.0, 3.0]),
        *measured("LiDAR", [1.0]),
        *measured("LiDAR", [3.0, 2.0, 1.0], other),
    ]
    assert rank_correlations(results) == [
        RankCorrelation("geometry LiDAR seed=not set", "linear top-1 %", 3, pytest.approx(1.0)),
        RankCorrelation("geometry LiDAR seed=7", "linear top-1 %", 3, pytest.approx(-1.0)),
    ]


def test_clid_is_standardised_over_the_runs_that_have_both_parts():
    results = [
        *measured("cluster learnability", [0.2, 0.9, 0.4, 0.5]),
        *measured("intrinsic dimension", [30.0, 20.0, 10.0, None]),
        *measured("top-1 %", [1.0, 9.0, 3.0, 2.0], LINEAR),
    ]
    comparison = with_clid(compare(results))
    learnt, dimension = stats.zscore([0.2, 0.9, 0.4]), stats.zscore([30.0, 20.0, 10.0])
    values = [row["geometry CLID"] for row in comparison.rows]
    assert values[:3] == pytest.approx(list(learnt + dimension))
    assert values[3] is None
    assert names(ranked(compare(results), "clid")) == ["b", "a", "c", "d"]
    (found,) = [each for each in rank_correlations(results) if each.measure == "geometry CLID"]
    assert (found.n, found.spearman) == (3, pytest.approx(0.5))  # b a c beside b c a
    assert with_clid(compare(measured("LiDAR", [1.0]))) == compare(measured("LiDAR", [1.0]))


def test_the_best_run_first():
    results = [
        *measured("LiDAR", [5.0, 7.0, None, 6.0]),
        *measured("alpha-ReQ", [0.5, 2.0, 1.1, 0.8]),
        *measured("uniformity", [-3.0, -1.0, -2.0, -4.0]),
    ]
    comparison = compare(results)
    for name in ("lidar", "LiDAR", "geometry_lidar"):
        assert names(ranked(comparison, name)) == ["b", "d", "a", "c"]
    assert names(ranked(comparison, "alpha_req")) == ["c", "d", "a", "b"]
    assert names(ranked(comparison, "uniformity")) == ["d", "a", "c", "b"]
    assert names(comparison) == ["a", "b", "d", "c"]  # as they came
    with pytest.raises(ValueError, match=r"--rank_by=acc: not measured\. There are: LiDAR, alpha-"):
        ranked(comparison, "acc")


def test_means_over_seeds_can_be_ranked():
    assert number("45.30 ± 1.92") == 45.3
    assert number("2 of 3 measured") is None
    assert number(float("nan")) is None
    assert number(None) is None
    assert number(3) == 3
