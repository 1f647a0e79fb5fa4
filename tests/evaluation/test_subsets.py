import numpy as np
import pytest

from msbreg_tf.evaluation.subsets import class_balanced, stratified_holdout


def labels_of(*counts, seed=0):
    """Shuffled labels, `counts[c]` of class 3 · c."""
    labels = np.repeat(3 * np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


def counts_of(labels, rows):
    return [int((labels[rows] == label).sum()) for label in np.unique(labels)]


def test_holdout_takes_its_part_of_every_class():
    labels = labels_of(100, 40, 3, 2, 1)
    kept, held = stratified_holdout(labels, 0.1, seed=0)
    # At least one where there are two, never the whole class.
    assert counts_of(labels, held) == [10, 4, 1, 1, 0]
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert counts_of(labels, stratified_holdout(labels, 0.9, seed=0)[1]) == [90, 36, 2, 1, 0]


def test_holdout_depends_on_the_seed_alone():
    labels = labels_of(50, 50)
    first, again, other = (stratified_holdout(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first) & set(other)) < 20


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.1, [10, 10, 5]), (0.01, [1, 1, 1]), (1.0, [200, 95, 5])],
)
def test_fractions_are_balanced_over_classes(fraction, expected):
    labels = labels_of(200, 95, 5)
    rows = class_balanced(labels, fraction, seed=0)
    assert counts_of(labels, rows) == expected
    assert rows.tolist() == sorted(set(rows))


def test_a_fraction_of_fewer_images_than_classes_is_refused():
    with pytest.raises(ValueError, match=r"--fraction=0.005: .*3 classes.* --fraction=0.01\.$"):
        class_balanced(labels_of(200, 95, 5), 0.005, seed=0)


def test_fractions_depend_on_the_seed_and_grow():
    labels = labels_of(100, 100)
    tenth = class_balanced(labels, 0.1, seed=4)
    assert tenth.tolist() == class_balanced(labels, 0.1, seed=4).tolist()
    assert tenth.tolist() != class_balanced(labels, 0.1, seed=5).tolist()
    assert set(tenth) < set(class_balanced(labels, 0.5, seed=4))


def test_bad_fractions():
    labels = labels_of(4, 4)
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            stratified_holdout(labels, fraction, 0)
    for fraction in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"--fraction={fraction}: "):
            class_balanced(labels, fraction, 0)
    with pytest.raises(ValueError, match="every class has a single image"):
        stratified_holdout(labels_of(1, 1), 0.5, 0)
