"""Random resized crop: which part of the image a view shows."""

import math

import tensorflow as tf

from msbreg_tf.augment.operations.operation import (
    Operation,
    Uniforms,
    integer_below,
    uniform_in,
)
from msbreg_tf.augment.settings import AugmentSettings

TRIES = 10
# A crop takes the first of ten proposals that fits, as in torchvision; each proposal has its own
# area and ratio, and the position is drawn once, for the accepted one.
OPERATION = Operation(draws={"area": TRIES, "log_ratio": TRIES, "top": 1, "left": 1})


def crop_boxes(
    settings: AugmentSettings, u: Uniforms, height: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Chooses a crop for every view, as torchvision's RandomResizedCrop does.

    Ten proposals of a uniform area and a log-uniform ratio width/height; the first that fits into
    the image is taken, at a uniform position. If none fits: the largest central crop whose ratio
    is allowed.

    Args:
      settings: crop_area_min, crop_area_max and crop_ratio_max.
      u: the operation's uniform numbers.
      height, width: float32 scalars, size of the images in pixels.

    Returns:
      top, left, crop_height, crop_width: float32 [B, K], whole numbers of pixels.
    """
    area = uniform_in(settings.crop_area_min, settings.crop_area_max, u["area"])
    pixels = height * width * area  # [B, K, tries]
    log_ratio = math.log(settings.crop_ratio_max)  # NumPy 2 would make float64 of it all
    ratio = tf.exp(uniform_in(-log_ratio, log_ratio, u["log_ratio"]))
    heights = tf.round(tf.sqrt(pixels / ratio))  # [B, K, tries]
    widths = tf.round(tf.sqrt(pixels * ratio))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)

    first = tf.argmax(tf.cast(fits, tf.int32), axis=-1, output_type=tf.int32)
    found = tf.reduce_any(fits, axis=-1)
    whole_height = tf.minimum(height, tf.round(width * settings.crop_ratio_max))
    whole_width = tf.minimum(width, tf.round(height * settings.crop_ratio_max))
    crop_height = tf.where(found, tf.gather(heights, first, batch_dims=2), whole_height)
    crop_width = tf.where(found, tf.gather(widths, first, batch_dims=2), whole_width)

    free = tf.stack([height - crop_height, width - crop_width])
    place = tf.stack([u["top"], u["left"]])  # [2, B, K], as `free`
    starts = tf.where(found, integer_below(free + 1, place), tf.floor(free / 2))
    top, left = tf.unstack(starts)
    return top, left, crop_height, crop_width


def possible_reduction(height: tf.Tensor, width: tf.Tensor, size: int) -> tf.Tensor:
    """How many times smaller an image may be such that no crop has fewer pixels than its view.

    Args:
      height, width: of an image's crops in pixels, float32 [B, K].
      size: side S of the views.

    Returns:
      int32 [B], at least 1.
    """
    smallest = tf.reduce_min(tf.minimum(height, width), axis=-1)
    return tf.maximum(tf.cast(smallest, tf.int32) // size, 1)
