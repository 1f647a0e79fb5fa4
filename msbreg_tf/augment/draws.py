"""The random numbers of a view: one row of uniforms in [0, 1).

A view is a pure function of (image, row). Rows come from an explicit seed, so a resumed run sees
the views that the uninterrupted one would have seen, in whatever order workers make them.
"""

import tensorflow as tf

from msbreg_tf.augment.operations.table import num_draws


def image_draws(seed: tf.Tensor, index: tf.Tensor, num_views: int) -> tf.Tensor:
    """Draws the random numbers of all K views of one image; pure, usable inside `Dataset.map`.

    Args:
      seed: int32 [2], already folded from the run's seed and the epoch.
      index: int64 scalar, the image's index in the data set.
      num_views: K.

    Returns:
      float32 [K, num_draws()], uniform in [0, 1), independent over views and columns; the columns
      of an operation are `operations.table.columns()[name]`.
    """
    # Philox by name: 'auto_select' is another generator on other devices.
    seed = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
    return tf.random.stateless_uniform([num_views, num_draws()], seed, alg="philox")
