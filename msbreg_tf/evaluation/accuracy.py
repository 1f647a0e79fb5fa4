"""Top-k accuracy; ties go by label, and what is not finite is wrong."""

from typing import Optional

import numpy as np
import tensorflow as tf


def rank_of_truth(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many classes come before the right one.

    Args:
      logits: float [..., C].
      labels: int64 [...], 0 ≤ label < C.

    Returns:
      int32 [...], 0 is first. Of equal logits the smaller label comes first; NaN ranks last.
    """
    num_classes = logits.shape[-1]
    truth = tf.gather(logits, labels, axis=-1, batch_dims=labels.shape.rank)[..., None]
    later = tf.range(num_classes, dtype=tf.int64) > labels[..., None]
    # Counted by what the right class beats, for NaN beats nothing.
    beaten = (truth > logits) | ((truth == logits) & later)
    return num_classes - 1 - tf.reduce_sum(tf.cast(beaten, tf.int32), axis=-1)


def top_k(ranks: np.ndarray, num_classes: int, k: int) -> Optional[float]:
    """Fraction of rows whose right class is among the first k.

    Args:
      ranks: int [n], from `rank_of_truth`.
      num_classes: C.
      k: at least 1.

    Returns:
      0 to 1; None where k ≥ C and every answer would be right.
    """
    return float((ranks < k).mean()) if k < num_classes else None
