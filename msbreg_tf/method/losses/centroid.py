"""Attraction: every view goes to the centroid of its image's views."""

import tensorflow as tf

from msbreg_tf.method.losses.shapes import float32_pair

CENTROIDS = ("others", "all", "unit", "unit_others")


def multiview_centroid_loss(p: tf.Tensor, z: tf.Tensor, centroid: str = "others") -> tf.Tensor:
    """Returns the multiview centroid loss L_c (METHOD.md, "Losses").

        c_ik = mean over j ≠ k of z_ij     (others)
        c_ik = mean over all j of z_ij     (all)
        c_ik = the same over its norm      (unit_others of others, unit of all)
        L_c  = mean over i, k of ‖p_ik − c_ik‖²

    For unit rows L_c is 2 − 2⟨p, c⟩ with a unit centroid, and 1 + ‖c‖² − 2⟨p, c⟩ with a mean: the
    two pull p to the same point, the mean with ‖c‖ ≤ 1 times the force, less where the views of an
    image disagree. With K = 2 `others` and `unit_others` are both half of BYOL's symmetrised loss
    (Grill et al. 2020, eq. 2).

    Args:
      p: online predictions, float [B, K, D], unit rows.
      z: target projections, float [B, K, D], unit rows. No gradient flows to it.
      centroid: one of `CENTROIDS`.

    Returns:
      float32 scalar, the mean over images and views; 0 to 4 for unit rows.

    Raises:
      ValueError: a wrong shape, an unknown `centroid`, or one view whose others are none.
    """
    if centroid not in CENTROIDS:
        raise ValueError(f"centroid={centroid}: expected one of {', '.join(CENTROIDS)}.")
    p, z = float32_pair(p, z)
    num_views = z.shape[1]
    if centroid in ("others", "unit_others"):
        if num_views < 2:
            raise ValueError(
                f"num_views={num_views}: centroid={centroid} averages the other views; expected at "
                "least 2."
            )
        c = (tf.reduce_sum(z, axis=1, keepdims=True) - z) / (num_views - 1)  # [B, K, D]
    else:
        c = tf.reduce_mean(z, axis=1, keepdims=True)  # [B, 1, D]
    if centroid in ("unit", "unit_others"):
        c = tf.math.l2_normalize(c, axis=-1)  # views that cancel have no direction: c stays near 0
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(p, c), axis=-1))
