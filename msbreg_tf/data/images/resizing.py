"""Images of any size to squares, without augmentation."""

import tensorflow as tf


def fit_square(images: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the shorter side to `size` (bilinear, antialiased), then cuts out the centre.

    Args:
      images: float32 [B, H, W, 3].
      size: side S in pixels.

    Returns:
      float32 [B, S, S, 3]; the very same pixels where H = W = S.
    """
    shape = tf.shape(images)[1:3]
    short = tf.reduce_min(shape)
    # Rounded, in integers: float32 can turn an exact side into one pixel less.
    target = tf.maximum((2 * shape * size + short) // (2 * short), size)
    images = tf.cond(
        short == size, lambda: images, lambda: tf.image.resize(images, target, antialias=True)
    )
    top, left = tf.unstack((tf.shape(images)[1:3] - size) // 2)
    cropped = images[:, top : top + size, left : left + size]
    return tf.ensure_shape(cropped, [None, size, size, 3])


def resize_and_crop(image: tf.Tensor, size: int) -> tf.Tensor:
    """`fit_square` of one image: uint8 [H, W, 3] → uint8 [S, S, 3]."""
    square = fit_square(tf.cast(image, tf.float32)[tf.newaxis], size)[0]
    return tf.cast(tf.round(square), tf.uint8)
