import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from msbreg_tf.evaluation import extract_features, knn_accuracy


def clusters(count, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    centres = np.random.default_rng(99).normal(size=(5, 16))
    return (centres[labels] + spread * rng.normal(size=(count, 16))).astype(np.float32), labels


def test_hand_computed_votes():
    train = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    labels = np.array([0, 1, 1])
    test, truth = np.array([[2.0, 0.0]]), np.array([0])
    # Cosines 1, 0.6, 0.6. At T = 0.07 one exact neighbour outvotes two; at T = 10 it does not.
    assert knn_accuracy(train, labels, test, truth, k=[3], temperature=0.07) == {3: 1.0}
    assert knn_accuracy(train, labels, test, truth, k=[3], temperature=10.0) == {3: 0.0}


@pytest.mark.parametrize("k", [1, 20, 200])
def test_agrees_exactly_with_scikit_learn(k):
    train, train_labels = clusters(600, 0)
    test, test_labels = clusters(301, 1)

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    twin = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(unit(train), train_labels)
    expected = twin.score(unit(test), test_labels)
    ours = knn_accuracy(train, train_labels, test, test_labels, k=[k], block=64)
    assert ours[k] == pytest.approx(expected, abs=1e-12)
    assert 0.3 < expected < 1.0  # an easy task would hide a wrong vote


def test_too_many_neighbours_are_refused():
    features, labels = clusters(10, 0)
    with pytest.raises(ValueError, match="k=11"):
        knn_accuracy(features, labels, features, labels, k=[11])


def test_features_are_extracted_in_order_and_whole():
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1).repeat(3, axis=-1)
    features = extract_features(lambda batch: batch[:, 0, 0, :2], images, batch_size=3)
    np.testing.assert_array_equal(features, np.arange(7)[:, None].repeat(2, axis=1))
