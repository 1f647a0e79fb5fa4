"""Dispersion by pairwise repulsion, the comparison objective of Wang & Isola."""

import tensorflow as tf

from msbreg_tf.method.losses.shapes import ROWS, float32

_BLOCK = 512  # rows; of M = 16,384 each block takes 32 MiB


def uniformity_loss(p: tf.Tensor, t: float = 2.0) -> tf.Tensor:
    """Returns the uniformity loss (Wang & Isola 2020, section 4.1.2).

        L_u = log mean over i ≠ j of exp(−t ‖p_i − p_j‖²)

    Computed in blocks of rows, in the backward pass too, so that memory grows with M, not with its
    square.

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
        raise ValueError(f"p has {p.shape[0]} row: a pair needs at least 2.")
    num_rows = tf.cast(tf.shape(p)[0], tf.float32)
    return _log_potential(p, t) - tf.math.log(num_rows * (num_rows - 1.0))


def _log_potential(p: tf.Tensor, t: float) -> tf.Tensor:
    """log Σ_{i≠j} e_ij with e_ij = exp(−t ‖p_i − p_j‖²).

    The gradient, −4t (p_i Σ_j e_ij − Σ_j e_ij p_j) / Σ e, takes its two sums over j from the same
    pass over blocks of rows. It is not differentiable itself: second derivatives are wrong.
    """

    @tf.custom_gradient
    def log_potential(p):
        def sums(rows):
            exponents = _exponents(p, rows, t)  # [b, M]
            log = tf.reduce_logsumexp(exponents, axis=1, keepdims=True)  # log Σ_j e_ij
            return log, tf.matmul(tf.exp(exponents - log), p)  # the e-weighted mean of p_j

        num_rows, size = tf.shape(p)[0], p.shape[1]
        specs = (tf.TensorSpec([None, 1]), tf.TensorSpec([None, size]))
        blocks = _blocks(num_rows)
        logs, means = tf.map_fn(sums, blocks, parallel_iterations=1, fn_output_signature=specs)
        logs = tf.reshape(logs, [-1, 1])[:num_rows]
        means = tf.reshape(means, [-1, size])[:num_rows]
        total = tf.reduce_logsumexp(logs)

        def gradient(upstream):
            return upstream * -4.0 * t * tf.exp(logs - total) * (p - means)

        return total, gradient

    return log_potential(p)


def _exponents(p: tf.Tensor, rows: tf.Tensor, t: float) -> tf.Tensor:
    """−t ‖p_i − p_j‖² for i in `rows`, int32 [b], and all j; −∞ where i = j: [b, M]."""
    own, squares = tf.gather(p, rows), tf.reduce_sum(tf.square(p), axis=1)
    distances = tf.gather(squares, rows)[:, tf.newaxis] + squares
    distances -= 2.0 * tf.matmul(own, p, transpose_b=True)
    itself = rows[:, tf.newaxis] == tf.range(tf.shape(p)[0])
    return tf.where(itself, -float("inf"), -t * distances)


def _blocks(num_rows: tf.Tensor) -> tf.Tensor:
    """The numbers of the rows in blocks of at most _BLOCK, int32 [n, b]; the last is repeated."""
    block = tf.minimum(num_rows, _BLOCK)
    padded = tf.math.floordiv(num_rows + block - 1, block) * block
    return tf.reshape(tf.minimum(tf.range(padded), num_rows - 1), [-1, block])
