"""The random numbers of a view: one row of uniforms in [0, 1), named here column by column.

A view is a pure function of (image, row). Rows come from an explicit seed, so a resumed run sees
the views that the uninterrupted one would have seen, in whatever order workers make them.
"""

import tensorflow as tf

CROP_TRIES = 10

# Columns of a row. A crop takes the first of ten proposals that fits, as torchvision does; each
# proposal has its own area and ratio, and the position is drawn once, for the one accepted.
AREA = slice(0, CROP_TRIES)
LOG_RATIO = slice(CROP_TRIES, 2 * CROP_TRIES)
(
    TOP,
    LEFT,
    FLIP,
    JITTER,
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    HUE,
    ORDER,
    GREY,
    BLUR,
    SIGMA,
    SOLARIZE,
    NUM_DRAWS,
) = range(2 * CROP_TRIES, 2 * CROP_TRIES + 14)


def image_draws(seed: tf.Tensor, index: tf.Tensor, num_views: int) -> tf.Tensor:
    """Draws the random numbers of all K views of one image; pure, usable inside `Dataset.map`.

    Args:
      seed: int32 [2], already folded from the run's seed and the epoch.
      index: int64 scalar, the image's index in the data set.
      num_views: K.

    Returns:
      float32 [K, NUM_DRAWS], uniform in [0, 1), independent over views and columns.
    """
    # Philox by name: 'auto_select' is another generator on other devices.
    seed = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
    return tf.random.stateless_uniform([num_views, NUM_DRAWS], seed, alg="philox")


def between(low: float, high: float, draw: tf.Tensor) -> tf.Tensor:
    """Maps a uniform draw in [0, 1) to a uniform one in [low, high)."""
    return low + (high - low) * draw


def whole_number_below(count: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Maps a uniform draw in [0, 1) to one of 0, 1, …, count − 1; float32, like `count`."""
    return tf.minimum(tf.floor(count * draw), count - 1)
