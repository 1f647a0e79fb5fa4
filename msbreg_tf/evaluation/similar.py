"""Which images are alike: nearest of all, near-duplicates, odd ones, and ones that differ most."""

from typing import NamedTuple, Optional

import numpy as np

from msbreg_tf.evaluation.knn import nearest_neighbours
from msbreg_tf.evaluation.rows import unit_rows

EXACT_BELOW = 50_000  # rows; above, an index is worth its making
_BLOCK = 1024
_LOOKED_THROUGH = 64  # lists of the index
_TRAINED_ON = 64  # rows for each list that k-means sees


class Pair(NamedTuple):
    """Two rows and their cosine similarity; first < second."""

    first: int
    second: int
    similarity: float


class Exact:
    """Compares a query with every row."""

    def __init__(self, features: np.ndarray):
        """Takes float [n, F], not normalised."""
        self._rows = features

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Similarities, float32 [b, k], falling, and rows, int64 [b, k]; k is at most n."""
        k = min(k, len(self._rows))
        parts = [
            nearest_neighbours(self._rows, queries[start : start + _BLOCK], k)
            for start in range(0, len(queries), _BLOCK)
        ]
        return tuple(np.concatenate(column) for column in zip(*parts))


class Indexed:
    """faiss's inverted lists: nearly all of the same neighbours, without looking at every row.

    k-means makes 4 √n lists, of which those are looked through whose centres are the nearest to a
    query. A graph (HNSW) is quicker for few queries, but falls apart where many images are copies
    of one, which is what people look for here.
    """

    def __init__(self, features: np.ndarray):
        """Takes float [n, F], not normalised.

        Raises:
          ValueError: faiss is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise ValueError(
                f"{len(features):,} images are more than {EXACT_BELOW:,}, and need faiss. Install "
                "it by `pip install 'msbreg-tf[faiss]'`."
            ) from error
        rows = np.ascontiguousarray(unit_rows(features, np.float32))
        lists = max(1, int(4 * len(rows) ** 0.5))
        centres = faiss.IndexFlatIP(rows.shape[1])
        self._index = faiss.IndexIVFFlat(centres, rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        self._centres = centres  # which faiss does not keep alive
        self._index.cp.spherical = True
        self._index.cp.max_points_per_centroid = _TRAINED_ON
        self._index.cp.min_points_per_centroid = 1  # no warning where rows are few
        self._index.train(rows)
        self._index.add(rows)
        self._index.nprobe = min(_LOOKED_THROUGH, lists)
        self._exact = Exact(features)

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Exact.nearest`."""
        k = min(k, self._index.ntotal)
        similarity, found = self._index.search(
            np.ascontiguousarray(unit_rows(queries, np.float32)), k
        )
        # Where the lists that were looked through hold fewer than k, faiss gives a row of -1.
        few = (found < 0).any(axis=1)
        if few.any():
            similarity[few], found[few] = self._exact.nearest(queries[few], k)
        return similarity, found


def index_of(features: np.ndarray):
    """`Exact` below `EXACT_BELOW` rows, else `Indexed`."""
    return Exact(features) if len(features) < EXACT_BELOW else Indexed(features)


def nearest_others(
    features: np.ndarray, k: int, index: Optional[object] = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row.

    Args:
      features: float [n, F], not normalised, n ≥ 2.
      k: cut to n − 1.
      index: of the same rows, if there is one already.

    Returns:
      similarities, float32 [n, k], falling, and rows, int64 [n, k].
    """
    k = min(k, len(features) - 1)
    similarity, rows = (index or index_of(features)).nearest(features, k + 1)
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True  # a twin came first: the last is one too many
    shape = (len(rows), k)
    return similarity[~own].reshape(shape), rows[~own].reshape(shape)


def near_duplicates(
    similarity: np.ndarray, rows: np.ndarray, threshold: float, most: Optional[int] = None
) -> list[Pair]:
    """Pairs of at least this similarity, the most similar first.

    Args:
      similarity, rows: what `nearest_others` returned; a pair is found if either is among the k
        nearest of the other.
      threshold: cosine similarity.
      most: pairs, at most.
    """
    first, place = np.nonzero(similarity >= threshold)
    pairs = {}
    for row, other, value in zip(first, rows[first, place], similarity[first, place]):
        pairs.setdefault((min(row, other), max(row, other)), float(value))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Pair(int(a), int(b), min(value, 1.0)) for (a, b), value in ordered[:most]]


def most_unlike(features: np.ndarray, count: int) -> np.ndarray:
    """Rows that differ from one another: each is the farthest from all that were taken before.

    The first is the one nearest to the mean direction (farthest-point sampling, Gonzalez, 1985).

    Args:
      features: float [n, F], not normalised.
      count: cut to n.

    Returns:
      int64 [count].
    """
    rows = unit_rows(features, np.float32)
    chosen = [int(np.argmax(rows @ rows.mean(axis=0)))]
    closest = rows @ rows[chosen[0]]
    while len(chosen) < min(count, len(rows)):
        closest[chosen] = np.inf
        chosen.append(int(np.argmin(closest)))
        closest = np.maximum(closest, rows @ rows[chosen[-1]])
    return np.array(chosen, np.int64)


def left_out_votes(
    similarity: np.ndarray, rows: np.ndarray, labels: np.ndarray, temperature: float = 0.07
) -> np.ndarray:
    """The label that the nearest others of each row vote for, weighing exp(s / T) as k-NN does.

    Args:
      similarity, rows: what `nearest_others` returned, [n, k].
      labels: int [n], 0 ≤ label.
      temperature: T.

    Returns:
      int64 [n]; of equal votes the smaller label.
    """
    weights = np.exp((similarity.astype(np.float64) - similarity[:, :1]) / temperature)
    votes = np.zeros((len(rows), int(labels.max()) + 1))
    for rank in range(rows.shape[1]):
        votes[np.arange(len(rows)), labels[rows[:, rank]]] += weights[:, rank]
    return votes.argmax(axis=1)
