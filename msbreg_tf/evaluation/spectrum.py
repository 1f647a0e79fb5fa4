"""The shape of a cloud of features: alignment, uniformity, spectrum, and whether it collapsed.

Everything is float64, because a collapsed cloud is all about small differences.
"""

import dataclasses

import numpy as np

from msbreg_tf.evaluation.rows import check_finite, unit_rows

# Ours; the paper gives no numbers. The spread of unit features goes from 0 (all the same) to 1. On
# CIFAR-10 untrained ResNets already put all images into a narrow cone, from which k-NN still tells
# them apart: 0.0026 (ResNet-50) to 0.07. BYOL with layer norm, collapsed in 38 steps, has 0.00002.
COMPLETE_BELOW = 2e-4
DIMENSIONAL_BELOW = 0.1  # of the directions that the cloud could use


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What `measure_geometry` found.

    Attributes:
      alignment: mean squared distance of the two views of an image, 0 to 4; less is closer.
      uniformity: log of the mean Gaussian potential of different images, t = 2; −8 to 0, less is
        more uniform.
      spread: mean squared distance of the features from their mean, 0 to 1.
      std: standard deviation of each dimension, [F]; 1/√F each on a uniform sphere.
      singular_values: of all 2n unit features over √2n, [F], largest first; squares sum to 1.
      effective_rank: of these, 1 to F.
      centred_singular_values: the same after the mean is subtracted; squares sum to `spread`.
      centred_effective_rank: of these, 1 to F; 0 for a single point.
      verdict: 'none', 'dimensional' or 'complete'.
      reason: one sentence with the numbers and thresholds that gave the verdict.
    """

    alignment: float
    uniformity: float
    spread: float
    std: np.ndarray
    singular_values: np.ndarray
    effective_rank: float
    centred_singular_values: np.ndarray
    centred_effective_rank: float
    verdict: str
    reason: str


def measure_geometry(first: np.ndarray, second: np.ndarray, *, block: int = 1024) -> Geometry:
    """Measures the features of two views of the same images (Table 3).

    Uniformity is the mean of that of the first views and that of the second, as in Wang & Isola
    (2020): a positive pair never counts as two different images.

    Args:
      first: float [n, F], features of one view of each image, not normalised.
      second: float [n, F], of another view of the same images in the same order.
      block: rows compared at once in the uniformity.

    Raises:
      ValueError: shapes differ, fewer than two images, or a feature is not finite.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"features {first.shape} and {second.shape}: expected two equal [n, F].")
    if len(first) < 2:
        raise ValueError(f"{len(first)} image: geometry compares at least two. Give more images.")
    for features in (first, second):
        check_finite(features)
    first, second = unit_rows(first), unit_rows(second)
    cloud = np.concatenate([first, second])
    centred = cloud - cloud.mean(axis=0)
    values, centred_values = singular_values(cloud), singular_values(centred)
    spread = float(np.sum(centred**2) / len(centred))
    directions = min(len(cloud) - 1, cloud.shape[1])
    rank = effective_rank(centred_values)
    verdict, reason = judge_collapse(spread, rank, directions)
    return Geometry(
        alignment=alignment(first, second),
        uniformity=(uniformity(first, block=block) + uniformity(second, block=block)) / 2,
        spread=spread,
        std=centred.std(axis=0),
        singular_values=values,
        effective_rank=effective_rank(values),
        centred_singular_values=centred_values,
        centred_effective_rank=rank,
        verdict=verdict,
        reason=reason,
    )


def judge_collapse(spread: float, rank: float, directions: int) -> tuple[str, str]:
    """Says in words whether features collapsed; the thresholds are ours.

    Complete: all images have the same feature. Dimensional (Jing et al., 2022): they differ, but in
    few directions only.

    Args:
      spread: mean squared distance of unit features from their mean.
      rank: effective rank of the centred features.
      directions: how many there could be at most, min(2n − 1, F) of two views of n images.

    Returns:
      ('none', 'dimensional' or 'complete', one sentence with numbers and thresholds).
    """
    if spread < COMPLETE_BELOW:
        return "complete", (
            f"all features are nearly the same: their mean squared distance from the mean is "
            f"{spread:.2g}, below {COMPLETE_BELOW:g}."
        )
    share = rank / directions
    numbers = f"effective rank {rank:.1f} of {directions} possible ({100 * share:.1f} %"
    if share < DIMENSIONAL_BELOW:
        return "dimensional", (
            f"features differ (spread {spread:.2g}), but in few directions: {numbers}, below "
            f"{100 * DIMENSIONAL_BELOW:g} %)."
        )
    return "none", (
        f"features differ (spread {spread:.2g}, at least {COMPLETE_BELOW:g}) in many directions: "
        f"{numbers}, at least {100 * DIMENSIONAL_BELOW:g} %)."
    )


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of ‖f(x) − f(x')‖² over positive pairs (Wang & Isola, 2020, α = 2).

    Args:
      first: unit features [n, F].
      second: their positives [n, F].
    """
    difference = np.asarray(first, np.float64) - second
    return float(np.mean(np.sum(difference**2, axis=1)))


def uniformity(features: np.ndarray, *, t: float = 2.0, block: int = 1024) -> float:
    """log of the mean of exp(−t ‖x_i − x_j‖²) over i ≠ j (Wang & Isola, 2020).

    Args:
      features: unit features [n, F], n ≥ 2.
      t: width of the Gaussian.
      block: rows on either side compared at once; memory is about 2 · block² numbers, and the
        result does not depend on it.
    """
    rows = np.asarray(features, np.float64)
    squares = np.sum(rows**2, axis=1)
    total = 0.0
    for i in range(0, len(rows), block):
        for j in range(i, len(rows), block):  # i ≤ j: the potential is symmetric
            distance = squares[i : i + block, None] + squares[j : j + block]
            distance -= 2 * rows[i : i + block] @ rows[j : j + block].T
            potential = np.exp(-t * np.maximum(distance, 0))
            if i == j:
                total += potential.sum() - np.trace(potential)
            else:
                total += 2 * potential.sum()
    return float(np.log(total / (len(rows) * (len(rows) - 1))))


def singular_values(embeddings: np.ndarray) -> np.ndarray:
    """The D singular values of all rows of [..., D] over √rows; on unit rows, squares sum to 1."""
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    covariance = rows.T.astype(np.float64) @ rows / len(rows)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0))


def effective_rank(values: np.ndarray) -> float:
    """exp of the entropy of the singular values over their sum (Roy & Vetterli, 2007): 1 to D.

    0 where all of them are zero: a cloud that is one point has no direction.
    """
    total = np.sum(values)
    if total == 0:
        return 0.0
    share = values / total
    return float(np.exp(-np.sum(share * np.log(np.maximum(share, 1e-12)))))
