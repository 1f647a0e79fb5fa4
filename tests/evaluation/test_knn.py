import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.evaluation.features.extract import extract_features
from msbreg_tf.evaluation.knn import knn_accuracy, nearest_neighbours


def clusters(count, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    centres = np.random.default_rng(99).normal(size=(5, 16))
    return (centres[labels] + spread * rng.normal(size=(count, 16))).astype(np.float32), labels


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def scikit_learn(train, train_labels, k):
    return KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(unit(train), train_labels)


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
    expected = scikit_learn(train, train_labels, k).score(unit(test), test_labels)
    blocks = {"block": 64, "train_block": 150}
    ours = knn_accuracy(train, train_labels, test, test_labels, k=[k], **blocks)
    assert ours[k] == pytest.approx(expected, abs=1e-12)
    assert 0.3 < expected < 1.0  # an easy task would hide a wrong vote


def test_agrees_exactly_with_scikit_learn_on_real_images():
    (train, train_labels), (test, test_labels) = (load_sample(split) for split in ("train", "test"))
    train, test = (x[:, ::4, ::4].reshape(len(x), -1).astype(np.float32) for x in (train, test))
    ours = knn_accuracy(train, train_labels, test, test_labels, train_block=2000)
    for k in (20, 200):
        expected = scikit_learn(train, train_labels, k).score(unit(test), test_labels)
        assert ours[k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("block", "train_block"), [(1, 7), (50, 1), (64, 199), (1024, 200)])
def test_blocks_of_either_side_change_nothing(block, train_block):
    train, train_labels = clusters(200, 0)
    test, test_labels = clusters(51, 1)
    whole = knn_accuracy(train, train_labels, test, test_labels, k=[1, 20, 200])
    blocks = {"block": block, "train_block": train_block}
    assert knn_accuracy(train, train_labels, test, test_labels, k=[1, 20, 200], **blocks) == whole


@pytest.mark.parametrize("bank_block", [1, 30, 64, 128, 1000])
def test_neighbours_are_those_of_a_stable_sort(bank_block):
    # Few directions, with powers of 2 as lengths: most similarities are equal, to the last bit.
    rng = np.random.default_rng(0)
    directions = np.eye(4, dtype=np.float32)
    scale = 2.0 ** rng.integers(-3, 4, [1000, 1]).astype(np.float32)
    bank = directions[rng.integers(0, 4, 1000)] * scale
    queries = np.array([[1, 0, 0, 0], [2, 1, 0, 0], [-1, 3, 3, 1], [0, 0, -1, -1]], np.float32)
    similarity, rows = nearest_neighbours(bank, queries, 400, bank_block)
    exact = unit(queries) @ unit(bank).T
    expected = np.argsort(-exact, axis=1, kind="stable")[:, :400]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarity, np.take_along_axis(exact, expected, 1), atol=1e-7)


def test_neighbours_agree_with_scikit_learn():
    bank, queries = clusters(3000, 0)[0], clusters(50, 1)[0]
    twin = NearestNeighbors(n_neighbors=100, metric="cosine", algorithm="brute").fit(bank)
    _, rows = nearest_neighbours(bank, queries, 100, 700)
    np.testing.assert_array_equal(rows, twin.kneighbors(queries, return_distance=False))


def test_equal_votes_go_to_the_smaller_label():
    train = np.array([[1.0, 0.0], [1.0, 0.0]])
    for labels in ([1, 2], [2, 1]):
        for truth, right in ((1, 1.0), (2, 0.0)):
            found = knn_accuracy(
                train, np.array(labels), train[:1], np.array([truth]), k=[2], train_block=1
            )
            assert found == {2: right}


def test_a_tiny_temperature_does_not_overflow():
    train, labels = clusters(100, 0)
    sharp = knn_accuracy(train, labels, *clusters(50, 1), k=[1, 20], temperature=1e-4)
    assert sharp[20] == sharp[1]  # the nearest neighbour alone decides


def test_memory_is_one_block_and_features_stay_as_they_are():
    train, train_labels = clusters(40_000, 0)
    train = np.repeat(train, 4, axis=1)  # [40,000, 64], 10 MB
    test, test_labels = train[:100].copy(), train_labels[:100]
    before = train.copy()
    tracemalloc.start()
    knn_accuracy(train, train_labels, test, test_labels, k=[5], block=50, train_block=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(train, before)
    assert peak < train.nbytes / 5  # of NumPy; TensorFlow's part is the similarities of a block


def test_similarities_have_full_precision_and_the_setting_is_restored(monkeypatch):
    features, labels = clusters(10, 0)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    reduced, matmul = [], tf.matmul

    def observed(*args, **kwargs):
        reduced.append(tf.config.experimental.tensor_float_32_execution_enabled())
        return matmul(*args, **kwargs)

    monkeypatch.setattr(tf, "matmul", observed)
    knn_accuracy(features, labels, features, labels, k=[1])
    assert reduced == [False]
    assert tf.config.experimental.tensor_float_32_execution_enabled()


def test_progress_is_the_number_of_test_rows_done():
    features, labels = clusters(10, 0)
    done = []
    knn_accuracy(features, labels, features, labels, k=[1], block=4, on_block=done.append)
    assert done == [4, 8, 10]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": [11]}, "k=11 neighbours, but there are only 10"),
        ({"k": [0, 5]}, "k=.0, 5.: expected numbers of neighbours from 1 on"),
        ({"k": []}, "expected numbers of neighbours"),
        ({"k": [1], "temperature": 0.0}, "temperature=0.0: expected a number above 0"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    features, labels = clusters(10, 0)
    with pytest.raises(ValueError, match=message):
        knn_accuracy(features, labels, features, labels, **wrong)


def test_features_and_labels_of_unlike_number_are_refused():
    features, labels = clusters(10, 0)
    with pytest.raises(ValueError, match="10 test features for 9 test labels"):
        knn_accuracy(features, labels, features, labels[:9], k=[1])


def test_features_are_extracted_in_order_and_whole():
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1).repeat(3, axis=-1)
    features = extract_features(lambda batch: batch[:, 0, 0, :2], images, batch_size=3)
    np.testing.assert_array_equal(features, np.arange(7)[:, None].repeat(2, axis=1))
