import numpy as np
import tensorflow as tf

from msbreg_tf.evaluation.accuracy import rank_of_truth, top_k


def test_ranks_by_hand():
    logits = tf.constant([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, np.nan, 0.0]])
    # In the last row nothing beats NaN, and NaN beats nothing.
    for label, expected in ((0, [0, 0, 1, 1]), (1, [2, 1, 2, 2]), (2, [1, 2, 0, 2])):
        labels = tf.fill([4], tf.constant(label, tf.int64))
        assert rank_of_truth(logits, labels).numpy().tolist() == expected


def test_everything_nan_is_wrong():
    logits = tf.fill([5, 7], float("nan"))
    ranks = rank_of_truth(logits, tf.zeros([5], tf.int64)).numpy()
    assert top_k(ranks, 7, 1) == top_k(ranks, 7, 5) == 0


def test_ranks_keep_further_axes():
    logits = np.random.default_rng(0).normal(size=[4, 3, 6]).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 6, [4, 3])
    order = np.argsort(-logits, axis=-1)
    expected = (order == labels[..., None]).argmax(axis=-1)
    np.testing.assert_array_equal(rank_of_truth(tf.constant(logits), tf.constant(labels)), expected)


def test_top_k_by_hand():
    ranks = np.array([0, 4, 5, 1, 0, 9, 2, 6])
    assert top_k(ranks, 10, 1) == 2 / 8
    assert top_k(ranks, 10, 5) == 5 / 8
    assert top_k(ranks, 5, 5) is None
