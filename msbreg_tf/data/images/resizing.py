"""Images of any size to squares, without augmentation: two matrix products.

The shorter side is brought to S and the centre is cut out, as PIL resizes: bilinear, antialiased.
What each output pixel is made of follows from the shapes alone, so both are a matrix per axis, of
the pixels near the central square only: time and memory depend on that square and on S. Plain
products run on every device and in every format that an export is converted to.
"""

import tensorflow as tf

_STRIP = 1024  # rows of an encoded image that are float32 at once


def fit_square(images: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the shorter side to `size` (bilinear, antialiased), then cuts out the centre.

    Args:
      images: float32 [B, H, W, 3].
      size: side S in pixels.

    Returns:
      float32 [B, S, S, 3]; the very same pixels where H = W = S.
    """
    if images.shape[1:3] == [size, size]:
        return images
    (top, rows), (left, columns) = _matrices(tf.shape(images)[1:3], size)
    height, width = tf.shape(rows)[1], tf.shape(columns)[1]
    part = images[:, top : top + height, left : left + width]  # [B, h, w, 3]
    batch = tf.shape(images)[0]
    lines = tf.matmul(rows, tf.reshape(part, [batch, height, width * 3]))  # [B, S, w·3]
    return _fit_columns(tf.reshape(lines, [batch, size, width, 3]), columns, size)


def resize_and_crop(image: tf.Tensor, size: int) -> tf.Tensor:
    """`fit_square` of one image in whole numbers: uint8 [H, W, 3] → uint8 [S, S, 3]."""
    if image.shape[:2] == [size, size]:
        return image
    (top, rows), (left, columns) = _matrices(tf.shape(image)[:2], size)
    height, width = tf.shape(rows)[1], tf.shape(columns)[1]
    part = tf.reshape(image[top : top + height, left : left + width], [height, width * 3])

    def add_strip(start, lines):
        strip = tf.cast(part[start : start + _STRIP], tf.float32)
        return start + _STRIP, lines + tf.matmul(rows[:, start : start + _STRIP], strip)

    _, lines = tf.while_loop(  # the whole of a large image in float32 would be four times as much
        lambda start, _: start < height,
        add_strip,
        (0, tf.zeros([size, width * 3])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([size, None])),
        parallel_iterations=1,
    )
    square = _fit_columns(tf.reshape(lines, [1, size, width, 3]), columns, size)[0]
    return tf.cast(tf.clip_by_value(tf.round(square), 0, 255), tf.uint8)


def _fit_columns(lines: tf.Tensor, columns: tf.Tensor, size: int) -> tf.Tensor:
    """[B, S, w, 3] by the matrix of its second axis [S, w] → [B, S, S, 3]."""
    batch, _, width, _ = tf.unstack(tf.shape(lines))
    lines = tf.reshape(tf.transpose(lines, [0, 2, 1, 3]), [batch, width, size * 3])
    square = tf.reshape(tf.matmul(columns, lines), [batch, size, size, 3])
    return tf.transpose(square, [0, 2, 1, 3])


def _matrices(shape: tf.Tensor, size: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """(first pixel, matrix [S, pixels]) of height and width, int32 [2]."""
    short = tf.reduce_min(shape)
    # In integers: float32 can turn an exact side into one pixel less. Quotient and remainder apart,
    # so that sides of millions of pixels do not overflow either.
    whole, rest = shape // short, shape % short
    resized = tf.maximum(whole * size + (2 * rest * size + short) // (2 * short), size)
    return [_matrix(shape[axis], resized[axis], size) for axis in (0, 1)]


def _matrix(length: tf.Tensor, resized: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The central `size` rows of the matrix that resizes `length` pixels to `resized`.

    Output pixel s lies at c = (s + ½ + (resized − size) // 2) · length / resized and is the mean of
    the pixels under a triangle of half-width max(1, length / resized) around c.

    Returns:
      int32 scalar and float32 [S, pixels]: the first pixel that counts, and the weights from it on.
    """
    scale = tf.cast(length, tf.float32) / tf.cast(resized, tf.float32)
    reach = tf.maximum(scale, 1.0)
    # Counted from the middle pixel, where float32 is exact enough for sides of any length: no
    # float64 and no int64, which TFLite cannot divide.
    middle, half = length // 2, tf.cast(length % 2, tf.float32) / 2
    odd = tf.cast((resized - size) % 2, tf.float32)
    centres = (tf.range(size, dtype=tf.float32) + (1 - size - odd) / 2) * scale + half
    low = tf.cast(tf.floor(centres[0] - reach), tf.int32) - 1
    high = tf.cast(tf.math.ceil(centres[-1] + reach), tf.int32) + 1
    first, last = tf.maximum(low, -middle), tf.minimum(high, length - middle)
    pixels = tf.cast(tf.range(first, last), tf.float32) + 0.5
    weights = tf.nn.relu(1 - tf.abs(pixels - centres[:, tf.newaxis]) / reach)
    return first + middle, weights / tf.reduce_sum(weights, axis=1, keepdims=True)
