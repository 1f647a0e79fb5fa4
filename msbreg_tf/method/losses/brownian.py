"""Local dispersion: every image is pushed along a random direction of its own."""

import math
from typing import Union

import tensorflow as tf

from msbreg_tf.method.losses.shapes import VIEWS, float32

_PHILOX = 1  # the counter-based generator of tf.random.Algorithm; one count gives four words


def brownian_diffusive_loss(
    p: tf.Tensor, seed: tf.Tensor, first_image: Union[int, tf.Tensor] = 0
) -> tf.Tensor:
    """Returns the Brownian diffusive loss L_b (METHOD.md, "Losses").

        n_i ~ uniform on S^{D−1},   L_b = mean over i, k of ⟨p_ik, n_i⟩

    One direction per image, shared by its K views; its expectation over `seed` is zero.

    Args:
      p: embeddings, float [B, K, D], unit rows.
      seed: int32 [2], for example (run seed, step).
      first_image: position of the first row of `p` in the global batch, so that a replica draws
        what one device would have drawn for the same images.

    Returns:
      float32 scalar, the mean over images and views; −1 to 1 for unit rows.

    Raises:
      ValueError: a wrong shape.
    """
    p = float32("p", p, VIEWS)
    n = brownian_directions(seed, tf.shape(p)[0], p.shape[2], first_image)  # [B, D]
    return tf.reduce_mean(tf.reduce_sum(p * n[:, tf.newaxis, :], axis=-1))


def brownian_directions(
    seed: tf.Tensor,
    num_images: Union[int, tf.Tensor],
    size: int,
    first_image: Union[int, tf.Tensor] = 0,
) -> tf.Tensor:
    """Returns directions uniform on the sphere; direction i is a function of (seed, i) alone.

    Bits come from Philox, whose counter starts at the first image's own place, and become normal
    by Box-Muller here: `tf.random.stateless_normal` draws other numbers under XLA.

    Args:
      seed: int32 [2].
      num_images: number of rows.
      size: D, at least 2.
      first_image: i of the first row, 0 ≤ i.

    Returns:
      float32 [num_images, size], unit rows.
    """
    counts = math.ceil(size / 4)  # per image: 4·counts words give as many normal numbers
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    # The low word of the 128-bit counter starts at 0, so nothing carries into the high one.
    skipped = tf.cast(first_image, tf.int64) * counts
    counter = tf.bitcast(counter, tf.int64) + tf.stack([skipped, tf.zeros_like(skipped)])
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[num_images, 2, 2 * counts],
        key=key,
        counter=tf.bitcast(counter, tf.uint64),
        alg=_PHILOX,
        dtype=tf.uint32,
    )
    # float32 holds 24 bits; the half keeps the logarithm finite.
    bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32)
    uniform = (bits + 0.5) * 2.0**-24
    radius = tf.sqrt(-2.0 * tf.math.log(uniform[:, 0]))  # [B, 2·counts]
    angle = 2.0 * math.pi * uniform[:, 1]
    normal = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)[:, :size]
    return tf.math.l2_normalize(normal, axis=1)
