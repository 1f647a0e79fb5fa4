"""Encoded images of any kind to uint8 RGB, with graph operations only.

Python functions are avoided because they hold the interpreter's lock and do not run on the workers
of the tf.data service. Alpha is dropped, 16-bit samples lose their lower byte, and of an animation
the first frame counts.
"""

import tensorflow as tf

_BMP_HEADER_BYTES = 54
_RED_MASK = 0x00FF0000


def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF or BMP, recognised by its first bytes.

    Args:
      contents: string scalar.

    Returns:
      uint8 [H, W, 3].

    Raises:
      tf.errors.InvalidArgumentError: when run on anything else, or on a damaged image.
    """
    image = tf.cond(
        tf.strings.substr(contents, 0, 2) == b"BM",
        lambda: _decode_bmp(contents),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return image


def read_and_decode(path: tf.Tensor) -> tf.Tensor:
    """`decode_image` of a file: string scalar → uint8 [H, W, 3]."""
    return decode_image(tf.io.read_file(path))


def _decode_bmp(contents: tf.Tensor) -> tf.Tensor:
    """BMP of 8 bits with a palette, 24 or 32 bits, uncompressed → uint8 [H, W, 3].

    `tf.io.decode_bmp` returns palette indices as if they were grey and ignores compression.
    """
    header = tf.io.decode_raw(tf.strings.substr(contents, 0, _BMP_HEADER_BYTES + 4), tf.uint8)

    def field(start, dtype=tf.uint32):
        return tf.cast(tf.bitcast(header[start : start + dtype.size], dtype), tf.int64)

    pixels_at, header_size, compression = field(10), field(14), field(30)
    plain = (compression == 0) | ((compression == 3) & (field(_BMP_HEADER_BYTES) == _RED_MASK))
    supported = tf.debugging.Assert(
        (header_size >= 40) & plain, ["compressed, OS/2 or oddly ordered BMP"]
    )
    with tf.control_dependencies([supported]):
        pixels = tf.io.decode_bmp(contents)  # [H, W, bits / 8]

    def through_palette():
        start = 14 + header_size
        length = (pixels_at - start) // 4 * 4
        table = tf.io.decode_raw(tf.strings.substr(contents, start, length), tf.uint8)
        colours = tf.reshape(table, [-1, 4])[:, 2::-1]  # stored as blue, green, red, unused
        return tf.gather(colours, tf.cast(pixels[..., 0], tf.int32))

    return tf.cond(field(28, tf.uint16) == 8, through_palette, lambda: pixels[..., :3])
