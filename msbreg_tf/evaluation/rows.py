"""Rows of features: their lengths, and whether they are numbers at all."""

import numpy as np


def unit_rows(features: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Rows over their norms, in `dtype`, [n, F]; a row of zeros stays zero."""
    features = np.asarray(features, dtype)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(norms, 1e-12)


def check_finite(features: np.ndarray, what: str = "features") -> None:
    """Refuses features with an infinite or missing number.

    Args:
      features: float [n, F].
      what: how the message calls them, "training features".

    Raises:
      ValueError: says how many rows are broken.
    """
    if np.isfinite(features.sum(dtype=np.float64)):  # without an array of n·F booleans
        return
    broken = int(np.sum(~np.isfinite(features).all(axis=1)))
    if broken:  # else only their sum is too large
        raise ValueError(
            f"{broken} of {len(features)} {what} are not finite. The encoder is broken; choose an "
            "earlier export."
        )


def checked_features(features: np.ndarray, rank: int) -> np.ndarray:
    """Features as float64, once they are seen to be finite and of the rank 2, [n, F], or 3.

    Raises:
      ValueError: another rank, or a number that is not finite.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != rank:
        layout = {2: "[n, F]", 3: "[n, K, F]"}[rank]
        raise ValueError(f"features {features.shape}: expected {layout}.")
    check_finite(features.reshape(-1, features.shape[-1]))
    return features
