"""Images to squares of one size, of which a broken one spoils none of the others."""

from collections.abc import Callable

import tensorflow as tf

from msbreg_tf.data.images.decoding import decode_image
from msbreg_tf.data.images.resizing import resize_and_crop

_AT_ONCE = 8  # images of a batch that are decoded side by side

Square = tuple[tf.Tensor, tf.Tensor]


def square_or_black(
    decode: Callable[[tf.Tensor], tf.Tensor], size: int
) -> Callable[[tf.Tensor], Square]:
    """A function that has an answer for every image.

    Args:
      decode: string scalar → uint8 [H, W, 3]; fails with a TensorFlow error on a broken image.
      size: side S in pixels.

    Returns:
      string scalar → (uint8 [S, S, 3], True), or black pixels and False where `decode` fails. It
      is made of graph operations, in which nothing but tf.data can catch an error.
    """

    def look(image):
        return resize_and_crop(decode(image), size), tf.constant(True)

    def load(image):
        black = (tf.zeros([size, size, 3], tf.uint8), tf.constant(False))
        looked = tf.data.Dataset.from_tensors(image).map(look).ignore_errors()
        either = looked.concatenate(tf.data.Dataset.from_tensors(black))
        return either.take(1).get_single_element()

    return load


def decode_squares(image_bytes: tf.Tensor, size: int) -> Square:
    """Decodes a batch of JPEG, PNG, GIF or BMP images with graph operations only.

    Args:
      image_bytes: string [B]; B may be 0.
      size: side S in pixels.

    Returns:
      uint8 [B, S, S, 3] and bool [B]: the squares, and which could be decoded; others are black.
    """
    count = tf.size(image_bytes)
    # A data set must have an element to be a batch.
    padded = tf.concat([image_bytes, tf.fill([tf.maximum(1 - count, 0)], "")], axis=0)
    images = tf.data.Dataset.from_tensor_slices(padded)
    squares = images.map(square_or_black(decode_image, size), num_parallel_calls=_AT_ONCE)
    batch = squares.batch(tf.maximum(tf.cast(count, tf.int64), 1)).get_single_element()
    pixels, is_good = (tensor[:count] for tensor in batch)
    return tf.ensure_shape(pixels, [None, size, size, 3]), is_good
