"""Attraction: every view goes to the centroid of its image's views."""

import tensorflow as tf

from msbreg_tf.method.losses.shapes import float32_pair


def multiview_centroid_loss(p: tf.Tensor, z: tf.Tensor, centroid: str = "others") -> tf.Tensor:
    """Returns the multiview centroid loss L_c (METHOD.md, "Losses").

        c_ik = mean over j ≠ k of z_ij     (others)
        c_ik = mean over all j of z_ij     (all)
        L_c  = mean over i, k of ‖p_ik − c_ik‖²

    The centroid is not normalised again. With K = 2 and `others` it is half of BYOL's symmetrised
    loss (Grill et al. 2020, eq. 2).

    Args:
      p: online predictions, float [B, K, D], unit rows.
      z: target projections, float [B, K, D], unit rows. No gradient flows to it.
      centroid: 'others' or 'all'.

    Returns:
      float32 scalar, the mean over images and views; 0 to 4 for unit rows.

    Raises:
      ValueError: a wrong shape, an unknown `centroid`, or one view whose others are none.
    """
    p, z = float32_pair(p, z)
    num_views = z.shape[1]
    if centroid == "others":
        if num_views < 2:
            raise ValueError(
                f"num_views={num_views}: centroid=others averages the other views; expected at "
                "least 2."
            )
        c = (tf.reduce_sum(z, axis=1, keepdims=True) - z) / (num_views - 1)  # [B, K, D]
    elif centroid == "all":
        c = tf.reduce_mean(z, axis=1, keepdims=True)  # [B, 1, D]
    else:
        raise ValueError(f"centroid={centroid}: expected others or all.")
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(p, c), axis=-1))
