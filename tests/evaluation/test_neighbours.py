import numpy as np
import pytest

from msbreg_tf.evaluation.neighbours import judge_learning, same_picture


def test_by_hand():
    """Three pictures of two views on a line of angles; one view's neighbour is another picture."""
    degrees = np.array([[0, 10], [40, 55], [66, 120]])
    features = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=-1)
    # 0→10 yes, 10→0 yes, 40→55 yes, 55→66 no, 66→55 no, 120→66 yes
    assert same_picture(5 * features) == pytest.approx(4 / 6)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_against_a_slow_twin(block):
    rng = np.random.default_rng(0)
    features = rng.normal(size=[20, 1, 6]) + 0.7 * rng.normal(size=[20, 3, 6])
    rows = features.reshape(60, 6)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    right = 0
    for i in range(60):
        similarity = [rows[i] @ rows[j] if i != j else -2 for j in range(60)]
        right += int(np.argmax(similarity)) // 3 == i // 3
    assert 0 < right < 60
    assert same_picture(features, block=block) == right / 60


def test_features_that_say_nothing_find_by_chance():
    features = np.random.default_rng(0).normal(size=[400, 2, 64])
    assert same_picture(features) == pytest.approx(1 / 799, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 3)])
def test_nothing_to_compare(shape):
    with pytest.raises(ValueError, match="expected"):
        same_picture(np.ones(shape))


@pytest.mark.parametrize(
    ("trained", "untrained", "expected"),
    [(0.77, 0.40, "yes"), (0.43, 0.40, "not visibly"), (0.36, 0.43, "not visibly"),
     (0.9, None, "not known")],
)  # fmt: skip
def test_verdicts(trained, untrained, expected):
    verdict, why = judge_learning(trained, untrained, 200)
    assert verdict == expected
    assert f"{100 * trained:.1f} % of 400 views" in why


def test_the_threshold_is_two_standard_errors():
    """2 · √((.638 · .362 + .25) / 100) = .1387."""
    assert judge_learning(0.5 + 0.138, 0.5, 100)[0] == "not visibly"
    assert judge_learning(0.5 + 0.140, 0.5, 100)[0] == "yes"
