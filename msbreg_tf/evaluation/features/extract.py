"""Images in, features out, in batches."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def extract_features(
    embed: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray, batch_size: int = 256
) -> np.ndarray:
    """Applies `embed` to all images.

    Args:
      embed: float32 images [b, S, S, 3] in 0–255 → features [b, F].
      images: uint8 [n, S, S, 3].
      batch_size: images at once.

    Returns:
      float32 [n, F].
    """
    batches = [
        np.asarray(embed(tf.constant(images[start : start + batch_size], tf.float32)))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)
