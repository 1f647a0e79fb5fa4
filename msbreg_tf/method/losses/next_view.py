"""Batch repetition: every view goes to the next one, without a centroid."""

import tensorflow as tf

from msbreg_tf.method.losses.shapes import float32_pair


def next_view_loss(p: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """Returns the batch repetition loss (Hoffer et al. 2020, as METHOD.md compares with it).

        L = mean over i, k of ‖p_ik − z_i,(k+1 mod K)‖²

    Args:
      p: online predictions, float [B, K, D], unit rows.
      z: target projections, float [B, K, D], unit rows. No gradient flows to it.

    Returns:
      float32 scalar, the mean over images and views; 0 to 4 for unit rows.

    Raises:
      ValueError: a wrong shape, or a single view, which would chase itself.
    """
    p, z = float32_pair(p, z)
    if z.shape[1] < 2:
        raise ValueError(
            f"num_views={z.shape[1]}: a view needs a next one to chase; expected at least 2."
        )
    following = tf.roll(z, shift=-1, axis=1)
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(p, following), axis=-1))
