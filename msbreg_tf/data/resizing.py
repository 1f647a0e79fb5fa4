"""Images of any size to squares, without augmentation."""

import tensorflow as tf


def resize_and_crop(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the shorter side to `size` (bilinear, antialiased), then cuts out the centre.

    Args:
      image: uint8 [H, W, 3].
      size: side S in pixels.

    Returns:
      uint8 [S, S, 3]; the very same pixels where H = W = S.
    """
    shape = tf.shape(image)[:2]
    short = tf.reduce_min(shape)
    # Rounded, in integers: float32 can turn an exact side into one pixel less.
    target = tf.maximum((2 * shape * size + short) // (2 * short), size)
    resized = tf.cond(
        short == size,
        lambda: image,
        lambda: tf.cast(tf.round(tf.image.resize(image, target, antialias=True)), tf.uint8),
    )
    top, left = tf.unstack((tf.shape(resized)[:2] - size) // 2)
    cropped = resized[top : top + size, left : left + size]
    return tf.ensure_shape(cropped, [size, size, 3])
