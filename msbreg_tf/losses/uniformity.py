"""Dispersion by pairwise repulsion, the comparison objective of Wang & Isola."""

import tensorflow as tf

from msbreg_tf.losses.shapes import ROWS, float32


def uniformity_loss(p: tf.Tensor, t: float = 2.0) -> tf.Tensor:
    """Returns the uniformity loss (Wang & Isola 2020, section 4.1.2).

        L_u = log mean over i ≠ j of exp(−t ‖p_i − p_j‖²)

    Args:
      p: embeddings, float [M, D], unit rows.
      t: inverse squared width of the Gaussian potential.

    Returns:
      float32 scalar: 0 when all rows are equal, −2t or a little less at best when M is large.

    Raises:
      ValueError: a wrong shape, or fewer than two rows.
    """
    p = float32("p", p, ROWS)
    if p.shape[0] is not None and p.shape[0] < 2:
        raise ValueError(f"p has {p.shape[0]} row: a pair needs at least 2; raise --batch_size.")
    num_rows = tf.cast(tf.shape(p)[0], tf.float32)
    squares = tf.reduce_sum(tf.square(p), axis=1)
    distances = squares[:, tf.newaxis] + squares - 2.0 * tf.matmul(p, p, transpose_b=True)
    exponents = -t * distances  # [M, M]
    exponents = tf.linalg.set_diag(exponents, tf.fill(tf.shape(squares), -float("inf")))
    return tf.reduce_logsumexp(exponents) - tf.math.log(num_rows * (num_rows - 1.0))
