"""Weighted k-nearest-neighbour classification of frozen features (METHOD.md, "Evaluation")."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.evaluation.labels import check_lengths
from msbreg_tf.evaluation.rows import unit_rows


def knn_accuracy(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    k: Sequence[int] = (20, 200),
    temperature: float = 0.07,
    block: int = 1024,
    train_block: int = 4096,
    on_block: Optional[Callable[[int], None]] = None,
) -> dict[int, float]:
    """Top-1 accuracy of cosine k-NN whose votes weigh exp(s / T) (Wu et al., 2018, section 3.4).

    Beyond the features it needs the memory of one block of each side and of their similarities,
    whatever n and m: about 200 MB at F = 2048. Ties are broken as by a stable sort: equally similar
    neighbours count in their order in `train_features`, and equal votes go to the smaller label.

    Args:
      train_features: float [n, F], not normalised; left as they are.
      train_labels: int [n], 0 ≤ label.
      test_features: float [m, F].
      test_labels: int [m].
      k: numbers of neighbours.
      temperature: T.
      block: test rows compared at once.
      train_block: train rows compared at once.
      on_block: called with the number of test rows done, after each block.

    Returns:
      {k: fraction of test rows whose weighted vote is right}.

    Raises:
      ValueError: k not from 1 to n, T not above 0, or features that don't match their labels.
    """
    for name, features, labels in (
        ("train", train_features, train_labels),
        ("test", test_features, test_labels),
    ):
        check_lengths(name, features, labels)
    _check(k, temperature, len(train_features))
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    correct = dict.fromkeys(k, 0)
    for start in range(0, len(test_features), block):
        truth = test_labels[start : start + block]
        similarity, nearest = nearest_neighbours(
            train_features, test_features[start : start + block], max(k), train_block
        )
        weights = _weights(similarity, temperature)
        for neighbours in correct:
            votes = np.zeros((len(truth), num_classes))
            for rank in range(neighbours):
                chosen = train_labels[nearest[:, rank]]
                votes[np.arange(len(truth)), chosen] += weights[:, rank]
            correct[neighbours] += int((votes.argmax(axis=1) == truth).sum())
        if on_block:
            on_block(start + len(truth))
    return {neighbours: right / len(test_features) for neighbours, right in correct.items()}


def nearest_neighbours(
    bank: np.ndarray, queries: np.ndarray, k: int, bank_block: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of `bank` most similar to each query by cosine, block by block.

    Args:
      bank: float [n, F], not normalised.
      queries: float [b, F], compared at once.
      k: 1 ≤ k ≤ n.
      bank_block: rows of `bank` compared at once.

    Returns:
      similarities, float32 [b, k], falling, and rows of `bank`, int64 [b, k]; of equally similar
      rows the earlier comes first.
    """
    queries = unit_rows(queries, np.float32)
    best = tf.zeros([len(queries), 0])
    rows = tf.zeros([len(queries), 0], tf.int64)
    with _full_precision():
        for start in range(0, len(bank), bank_block):
            block = unit_rows(bank[start : start + bank_block], np.float32)
            similarity = tf.matmul(queries, block, transpose_b=True)
            top, columns = tf.math.top_k(similarity, min(k, similarity.shape[1]))
            # top_k prefers the lower of equal columns, so what was found earlier goes first.
            best = tf.concat([best, top], axis=1)
            rows = tf.concat([rows, tf.cast(columns, tf.int64) + start], axis=1)
            best, kept = tf.math.top_k(best, min(k, best.shape[1]))
            rows = tf.gather(rows, kept, batch_dims=1)
    return best.numpy(), rows.numpy()


def _weights(similarity: np.ndarray, temperature: float) -> np.ndarray:
    """exp(s / T) up to a factor per row, which no vote depends on and which prevents overflow."""
    exponent = similarity.astype(np.float64) - similarity[:, :1]
    return np.exp(exponent / temperature)


def _check(k: Sequence[int], temperature: float, num_train: int) -> None:
    if not k or min(k) < 1:
        raise ValueError(f"k={list(k)}: expected numbers of neighbours from 1 on.")
    if max(k) > num_train:
        raise ValueError(
            f"k={max(k)} neighbours, but there are only {num_train} training images. "
            "Use a smaller k."
        )
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: expected a number above 0, such as 0.07.")


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32, which newer GPUs use for float32 by default, with errors of 1e-3."""
    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)
