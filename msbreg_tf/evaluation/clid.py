"""CLID: are features spread over many dimensions, and still easy to learn clusters from?

Cluster learnability and intrinsic dimension (Lu et al. 2023, arXiv 2206.01251), by nearest
neighbours. Float64 throughout; no labels.
"""

import numpy as np

from msbreg_tf.evaluation.rows import checked_features

_CLUSTER_ITERATIONS = 100


def intrinsic_dimension(features: np.ndarray) -> float:
    """TwoNN: dimension of the surface on which the features lie (Facco et al. 2017).

    With the distances r₁ and r₂ of a row to its nearest and second nearest other row, r₂/r₁ has the
    density d μ^−(d+1), whose maximum likelihood gives d = n / Σ log(r₂/r₁). CLID's expressiveness.

    Args:
      features: float [n, F]; rows that are equal to another are left out.

    Returns:
      NaN if no row has two neighbours at a distance.
    """
    features = checked_features(features, 2)
    if len(features) < 3:
        return float("nan")
    nearest = _nearest_distances(features, 2)
    nearest = nearest[nearest[:, 0] > 0]
    total = np.log(nearest[:, 1] / nearest[:, 0]).sum() if len(nearest) else 0.0
    return float(len(nearest) / total) if total > 0 else float("nan")


def cluster_learnability(features: np.ndarray, *, seed: int = 0) -> float:
    """How well nearest neighbours foretell clusters (Lu et al. 2023, arXiv 2206.01251).

    K-means on the features gives every row a label, and the label of the nearest other row is
    compared with it. The paper takes the mean accuracy of a k-NN classifier on held-out rows; that
    every row is held out once, k = 1 and √n clusters are our choice.

    Args:
      features: float [n, F], n ≥ 2.
      seed: of the first centres.

    Returns:
      0 to 1; more is better, together with `intrinsic_dimension`: see `clid`.
    """
    features = checked_features(features, 2)
    labels = _clusters(features, max(2, round(len(features) ** 0.5)), seed)
    return float(np.mean(labels == labels[_nearest_rows(features)]))


def clid(learnability: np.ndarray, dimension: np.ndarray) -> np.ndarray:
    """CLID of several encoders: the sum of both, each standardised over them (Lu et al. 2023).

    Args:
      learnability: of each encoder, float [m].
      dimension: `intrinsic_dimension` of each, float [m].

    Returns:
      float [m]; it compares these encoders with one another and means nothing beside others.
    """
    parts = [np.asarray(part, np.float64) for part in (learnability, dimension)]
    deviations = [part.std() or 1.0 for part in parts]
    return sum((part - part.mean()) / scale for part, scale in zip(parts, deviations))


def _squared_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = np.sum(rows**2, axis=1)[:, np.newaxis] + np.sum(others**2, axis=1)
    return np.maximum(squares - 2 * rows @ others.T, 0.0)


def _neighbours(features: np.ndarray, count: int, block: int = 1024) -> np.ndarray:
    """The `count` nearest other rows of every row, nearest first: int [n, count]."""
    # In float32, twice as fast; a common offset would cost digits.
    centred = (features - features.mean(axis=0)).astype(np.float32)
    found = []
    for start in range(0, len(centred), block):
        rows = centred[start : start + block]
        distances = _squared_distances(rows, centred)
        distances[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
        found.append(np.take_along_axis(nearest, order, axis=1))
    return np.concatenate(found)


def _nearest_rows(features: np.ndarray) -> np.ndarray:
    return _neighbours(features, 1)[:, 0]


def _nearest_distances(features: np.ndarray, count: int) -> np.ndarray:
    """Distances to the `count` nearest other rows, without cancellation: float [n, count]."""
    neighbours = _neighbours(features, count)
    distances = [np.linalg.norm(features - features[column], axis=1) for column in neighbours.T]
    return np.sort(np.stack(distances, axis=1), axis=1)


def _clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Labels by k-means (Lloyd) from centres that k-means++ draws: int [n]."""
    rng = np.random.default_rng(seed)
    rows = (features - features.mean(axis=0)).astype(np.float32)  # which is enough for a label
    centres = rows[[rng.integers(len(rows))]]
    closest = _squared_distances(rows, centres)[:, 0]
    while len(centres) < count and closest.sum() > 0:
        share = closest.astype(np.float64) / closest.sum(dtype=np.float64)
        drawn = rows[[rng.choice(len(rows), p=share)]]
        centres = np.concatenate([centres, drawn])
        closest = np.minimum(closest, _squared_distances(rows, drawn)[:, 0])
    labels = None
    for _ in range(_CLUSTER_ITERATIONS):
        before, labels = labels, _squared_distances(rows, centres).argmin(axis=1)
        if before is not None and np.array_equal(before, labels):
            break
        members = labels == np.arange(len(centres))[:, np.newaxis]  # [count, n]
        sums, sizes = members.astype(np.float32) @ rows, members.sum(axis=1)
        filled = sizes > 0  # a centre that no row is nearest to stays where it is
        centres[filled] = sums[filled] / sizes[filled, np.newaxis]
    return labels
