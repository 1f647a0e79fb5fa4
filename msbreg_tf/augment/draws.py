"""The random numbers of a view: one row of uniforms in [0, 1).

A view is a pure function of (image, row). Rows come from an explicit seed, so a resumed run sees
the views that the uninterrupted one would have seen, in whatever order workers make them. The
numbers of an operation depend on its name and not on its place in the table, so that a new
operation leaves the draws of all others as they were. They must be drawn on the host: compiled by
XLA, the same TensorFlow operation gives other numbers.

Whoever changes what is drawn counts up `files.workdir.ARITHMETIC`.
"""

import functools
import hashlib

import numpy as np
import tensorflow as tf

from msbreg_tf.augment.operations.table import OPERATIONS

_PHILOX = 1  # tf.random.Algorithm.PHILOX, by number: 'auto_select' differs between devices


def image_draws(seed: tf.Tensor, index: tf.Tensor, num_views: int) -> tf.Tensor:
    """Draws the random numbers of all K views of one image; pure, usable inside `Dataset.map`.

    The numbers of view k are the same for every K > k.

    Args:
      seed: int32 [2], already folded from the run's seed and the epoch.
      index: int64 scalar, the image's index in the data set.
      num_views: K.

    Returns:
      float32 [K, num_draws()], uniform in [0, 1), independent over views and columns; the columns
      of an operation are `operations.table.columns()[name]`.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    parts = [
        tf.raw_ops.StatelessRandomUniformV2(
            shape=[num_views, operation.num_draws],
            key=key,
            counter=counter + _stream(name),
            alg=_PHILOX,
            dtype=tf.float32,
        )
        for name, operation in OPERATIONS.items()
    ]
    return tf.concat(parts, axis=1)


@functools.cache
def _stream(name: str) -> np.ndarray:
    """What is added to Philox's counter, uint64 [2], to reach the numbers of one operation.

    Only the high word differs, so the streams of two operations are 2^64 blocks apart or more.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return np.array([0, int.from_bytes(digest[:8], "little")], np.uint64)
