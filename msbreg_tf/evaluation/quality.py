"""Label-free measures of how good features are, each as it was published: pure NumPy functions.

Each of them was shown by its own paper to follow the accuracy of a linear classifier over the runs
of that paper. Whether one does so over *your* runs, `results/correlation.py` tells, where some of
them have labels. All are float64 inside, and take features before the projector, not normalised.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from msbreg_tf.evaluation.clid import cluster_learnability, intrinsic_dimension
from msbreg_tf.evaluation.rows import checked_features

_RANKME_EPSILON = 1e-7
_LIDAR_DELTA = 1e-4
_ALPHA_RANKS = (4, 100)
_LESS_IS_BETTER = ("alignment", "uniformity")  # as Wang & Isola (2020) read them


def rankme(features: np.ndarray) -> float:
    """RankMe: exp of the entropy of the singular values (Garrido et al. 2023, arXiv 2210.02885).

        p_k = σ_k / Σ_j σ_j + 1e-7,   RankMe = exp(−Σ_k p_k log p_k)

    of the features as they are: not centred, rows not normalised. More is better, for runs of one
    method on one network; at most min(n, F).

    Args:
      features: float [n, F].

    Returns:
      0 if all features are zero.
    """
    return _entropy_rank(_singular_values(features))


def lidar(features: np.ndarray, *, delta: float = _LIDAR_DELTA) -> float:
    """LiDAR: the rank of what tells pictures apart (Thilak et al. 2023, arXiv 2312.04000).

    The views of a picture are a class, so K views are all that the measure asks for. With the mean
    m_i of a picture's views and the mean m of all,

        Σ_b = mean over i of (m_i − m)(m_i − m)ᵀ
        Σ_w = mean over i, k of (f_ik − m_i)(f_ik − m_i)ᵀ + δI
        LiDAR = exp of the entropy of the eigenvalues λ of Σ_w^−½ Σ_b Σ_w^−½, p = λ / Σλ + 1e-7

    More is better; at most min(n − 1, F). Computed from the Cholesky factor of Σ_w = L Lᵀ: L⁻¹ Σ_b
    L⁻ᵀ has the same eigenvalues.

    Args:
      features: float [n, K, F], of K ≥ 2 views of n ≥ 2 pictures.
      delta: δ, which keeps Σ_w invertible; features of another scale need another one.
    """
    features = checked_features(features, 3)
    if min(features.shape[:2]) < 2:
        raise ValueError(f"features {features.shape}: expected [n, K, F] with n ≥ 2 and K ≥ 2.")
    size = features.shape[2]
    means = features.mean(axis=1)  # [n, F]
    within = (features - means[:, np.newaxis]).reshape(-1, size)
    scatter = within.T @ within / len(within) + delta * np.eye(size)
    between = (means - means.mean(axis=0)) / np.sqrt(len(means))
    whitened = np.linalg.solve(np.linalg.cholesky(scatter), between.T)  # [F, n]
    return _entropy_rank(_singular_values(whitened) ** 2)


def alpha_req(features: np.ndarray, *, ranks: tuple[int, int] = _ALPHA_RANKS) -> float:
    """α-ReQ: how fast the spectrum decays (Agrawal et al. 2022, NeurIPS; Stringer et al. 2019).

        λ_j ∝ j^−α,   λ_j the eigenvalues of the covariance of the features, largest first

    fitted as a line through (log j, log λ_j), each point with the weight 1/j, over the ranks 4 to
    100 as in the authors' code. Near 1 is good: larger means a few directions, smaller too many.

    Args:
      features: float [n, F]; centred here.
      ranks: first and last j that are fitted, as far as there are so many eigenvalues above zero.

    Returns:
      NaN if fewer than two eigenvalues are left.
    """
    features = checked_features(features, 2)
    values = _singular_values(features - features.mean(axis=0)) ** 2
    values = values[values > 1e-12 * max(values[0], np.finfo(float).tiny)]
    first, last = ranks
    chosen = np.arange(first, min(last, len(values)) + 1)
    if len(chosen) < 2:
        return float("nan")
    slope, _ = np.polyfit(np.log(chosen), np.log(values[chosen - 1]), 1, w=chosen**-0.5)
    return float(-slope)


def stable_rank(features: np.ndarray) -> float:
    """‖Z‖_F² / ‖Z‖₂² (Tsitsulin et al. 2023, arXiv 2305.16562): 1 to min(n, F), more is better.

    Args:
      features: float [n, F], not centred.

    Returns:
      0 if all features are zero.
    """
    squares = _singular_values(features) ** 2
    return float(squares.sum() / squares[0]) if squares[0] > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class Measure:
    """A row of `MEASURES`.

    Attributes:
      metric: name in results.jsonl and in tables.
      of: takes features [n, K, F] of the views and gives the value.
      meaning: in a few words.
      better: turns a value into one of which more is better, as the measure's paper reads it.
    """

    metric: str
    of: Callable[[np.ndarray], float]
    meaning: str
    better: Callable[[float], float] = lambda value: value


def _of_all_views(measure: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
    return lambda features: measure(features.reshape(-1, features.shape[-1]))


def _of_first_views(measure: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
    return lambda features: measure(features[:, 0])  # else the neighbour is another view


# By the names that metrics.jsonl and TensorBoard have.
MEASURES: Mapping[str, Measure] = {
    "rankme": Measure("RankMe", _of_all_views(rankme), "rank of the raw features; more is better"),
    "lidar": Measure("LiDAR", lidar, "rank of what tells pictures apart; more is better"),
    "alpha_req": Measure(
        "alpha-ReQ",
        _of_all_views(alpha_req),
        "decay of the spectrum; near 1 is good",
        lambda value: -abs(value - 1.0),
    ),
    "stable_rank": Measure(
        "stable rank", _of_all_views(stable_rank), "total over largest variance; more is better"
    ),
    "intrinsic_dimension": Measure(
        "intrinsic dimension", _of_first_views(intrinsic_dimension), "TwoNN; a part of CLID"
    ),
    "cluster_learnability": Measure(
        "cluster learnability",
        _of_first_views(cluster_learnability),
        "1-NN accuracy on k-means clusters; a part of CLID",
    ),
}


def measure_quality(features: np.ndarray) -> dict[str, float]:
    """All of `MEASURES`, {name: value}, of features [n, K, F] of K ≥ 2 views of n ≥ 2 pictures.

    Raises:
      ValueError: another shape, or a feature that is not finite.
    """
    features = checked_features(features, 3)
    return {name: float(measure.of(features)) for name, measure in MEASURES.items()}


def better(metric: str, value: float) -> float:
    """A value of a metric as one of which more is better, to put encoders in order.

    Args:
      metric: of `MEASURES`, of `tools.geometry`, or an accuracy.
      value: of the metric.
    """
    known = {measure.metric: measure.better for measure in MEASURES.values()}
    if metric in _LESS_IS_BETTER:
        return -value
    return known.get(metric, lambda found: found)(value)


def _singular_values(matrix: np.ndarray) -> np.ndarray:
    """Of a float [n, F] matrix, largest first, from the smaller Gram matrix."""
    matrix = checked_features(matrix, 2)
    gram = matrix.T @ matrix if len(matrix) >= matrix.shape[1] else matrix @ matrix.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))


def _entropy_rank(values: np.ndarray) -> float:
    total = values.sum()
    if total == 0:
        return 0.0
    share = values / total + _RANKME_EPSILON
    return float(np.exp(-np.sum(share * np.log(share))))
