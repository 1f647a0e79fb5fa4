"""Weighted k-nearest-neighbour classification of frozen features (METHOD, "Evaluation")."""

from collections.abc import Sequence

import numpy as np


def knn_accuracy(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    k: Sequence[int] = (20, 200),
    temperature: float = 0.07,
    block: int = 1024,
) -> dict[int, float]:
    """Top-1 accuracy of cosine k-NN whose votes weigh exp(s / T) (Wu et al., 2018, section 3.4).

    Args:
      train_features: float [n, F], not normalised.
      train_labels: int [n], 0 ≤ label.
      test_features: float [m, F].
      test_labels: int [m].
      k: numbers of neighbours.
      temperature: T.
      block: test rows compared at once; memory is block × n similarities.

    Returns:
      {k: fraction of test rows whose weighted vote is right}; a tie goes to the smaller label.

    Raises:
      ValueError: k larger than n, or features that don't match their labels.
    """
    for name, features, labels in (
        ("train", train_features, train_labels),
        ("test", test_features, test_labels),
    ):
        if len(features) != len(labels):
            raise ValueError(f"{len(features)} {name} features for {len(labels)} {name} labels.")
    if max(k) > len(train_features):
        raise ValueError(
            f"k={max(k)} neighbours, but there are only {len(train_features)} training images. "
            "Use a smaller k."
        )
    bank, queries = _unit(train_features), _unit(test_features)
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    correct = dict.fromkeys(k, 0)
    for start in range(0, len(queries), block):
        truth = test_labels[start : start + block]
        similarity = queries[start : start + block] @ bank.T  # [block, n]
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(k)]
        weights = np.exp(np.take_along_axis(similarity, nearest, axis=1) / temperature)
        for neighbours in k:
            votes = np.zeros((len(truth), num_classes))
            for rank in range(neighbours):
                chosen = train_labels[nearest[:, rank]]
                votes[np.arange(len(truth)), chosen] += weights[:, rank]
            correct[neighbours] += int((votes.argmax(axis=1) == truth).sum())
    return {neighbours: right / len(queries) for neighbours, right in correct.items()}


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(norms, 1e-12)
