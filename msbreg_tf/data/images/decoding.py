"""Encoded images of any kind to uint8 RGB, the same way for training, tools and exports.

Graph operations decode JPEG, PNG, GIF and BMP, so that an exported encoder, which has no Python,
and the workers of a tf.data service do it too. `decode_any` also asks Pillow, for WebP, TIFF, AVIF,
JPEG 2000 and PPM, where Python runs.

What a person would see is decoded: the orientation that EXIF gives is applied. Alpha is dropped,
16-bit samples lose their lower byte, and of an animation the first frame counts.
"""

import functools

import tensorflow as tf

from msbreg_tf.data.images import jpeg
from msbreg_tf.data.images.exif import orientation_of, upright
from msbreg_tf.data.images.pillow import decode_by_pillow, is_of_pillow
from msbreg_tf.data.settings import MEGAPIXELS

_PNG, _GIF, _BMP = b"\x89PNG", b"GIF8", b"BM"
_BMP_HEADER_BYTES = 54
_RED_MASK = 0x00FF0000


def decode_image(contents: tf.Tensor, megapixels: float = MEGAPIXELS) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF or BMP, recognised by its first bytes, with graph operations only.

    Args:
      contents: string scalar.
      megapixels: a file whose header promises more is refused before it is decoded.

    Returns:
      uint8 [H, W, 3], upright.

    Raises:
      tf.errors.InvalidArgumentError: when run on anything else, or on a damaged or too large image.
    """
    return _decode(contents, megapixels, lambda: _refuse("no JPEG, PNG, GIF or BMP image"))


def decode_any(contents: tf.Tensor, megapixels: float = MEGAPIXELS) -> tf.Tensor:
    """`decode_image`, and by Pillow what that can't decode; needs this process's Python."""

    def by_pillow():
        # A function that lives as long as this module: TensorFlow keeps no reference to it.
        return tf.numpy_function(
            decode_by_pillow, [contents, float(megapixels)], tf.uint8, stateful=False
        )

    return _decode(contents, megapixels, by_pillow)


def decode_reduced(
    contents: tf.Tensor, reduce: jpeg.Reduce, megapixels: float = MEGAPIXELS
) -> tuple[tf.Tensor, tf.Tensor]:
    """`decode_any`, but for a JPEG at ½, ¼ or ⅛ of its side where that is enough.

    From as many coefficients of its cosine transform, which of a photograph with 12 megapixels
    takes a quarter of the time. Other formats keep their size.

    Args:
      contents: string scalar.
      reduce: how many times smaller than stored the image may be.
      megapixels: as of `decode_image`.

    Returns:
      uint8 [H, W, 3], upright, and the upright size that is stored, int32 [2].
    """

    def in_full():
        image = decode_any(contents, megapixels)
        return image, tf.shape(image)[:2]

    def of_jpeg():
        checked, orientation, size = _jpeg_header(contents, round(megapixels * 1e6))
        return upright(jpeg.at_a_ratio(jpeg.pixels, checked, reduce, size), orientation), size

    starts = tf.strings.substr(contents, 0, len(jpeg.START)) == jpeg.START
    image, size = tf.cond(starts, of_jpeg, in_full)
    image.set_shape([None, None, 3])
    return image, size


def read_and_decode(path: tf.Tensor, megapixels: float = MEGAPIXELS) -> tf.Tensor:
    """`decode_any` of a file: string scalar → uint8 [H, W, 3]."""
    return decode_any(tf.io.read_file(path), megapixels)


def is_decoded_in_graph(contents: bytes) -> bool:
    """Whether `decode_image` would try these first bytes of a file."""
    return contents.startswith((jpeg.START, _PNG, _GIF, _BMP))


def is_image(contents: bytes) -> bool:
    """Whether `decode_any` would try these first 32 bytes of a file."""
    return is_decoded_in_graph(contents) or is_of_pillow(contents)


def _decode(contents, megapixels, otherwise):
    limit = round(megapixels * 1e6)
    kinds = (
        *((jpeg.START, _decode_jpeg), (_PNG, _decode_png)),
        *((_GIF, _decode_gif), (_BMP, _decode_bmp)),
    )
    image = otherwise
    for start, decode in reversed(kinds):
        image = functools.partial(_if_it_starts, contents, start, decode, limit, image)
    image = image()
    image.set_shape([None, None, 3])
    return image


def _if_it_starts(contents, start, decode, limit, otherwise):
    begins = tf.strings.substr(contents, 0, len(start)) == start
    return tf.cond(begins, lambda: decode(contents, limit), otherwise)


def _refuse(what: str) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, [what], name="refused")]):
        return tf.zeros([1, 1, 3], tf.uint8)


def _checked(contents, height, width, limit):
    """`contents`, if height × width is not beyond the limit."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    small_enough = tf.debugging.Assert(
        pixels <= limit, ["an image of", height, "x", width, "pixels; the limit is", limit]
    )
    with tf.control_dependencies([small_enough]):
        return tf.identity(contents)


def _decode_jpeg(contents, limit):
    contents, orientation, _ = _jpeg_header(contents, limit)
    return upright(jpeg.pixels(contents), orientation)


def _jpeg_header(contents, limit):
    """The contents if they are not too large, their orientation, and the upright size."""
    size = tf.image.extract_jpeg_shape(contents)[:2]
    contents = _checked(contents, size[0], size[1], limit)
    orientation = orientation_of(contents, jpeg.EXIF)
    return contents, orientation, tf.where(orientation >= 5, size[::-1], size)


def _decode_png(contents, limit):
    width, height = tf.unstack(_integers(contents, 16, tf.int32, big_endian=True))
    contents = _checked(contents, height, width, limit)
    image = tf.io.decode_png(contents, channels=3)
    return upright(image, orientation_of(contents, b"eXIf"))


def _decode_gif(contents, limit):
    width, height = tf.unstack(_integers(contents, 6, tf.uint16))
    contents = _checked(contents, height, width, limit)
    return tf.io.decode_gif(_first_frame(contents))[0]


def _first_frame(contents):
    """A GIF up to its first image: TensorFlow would decode all of them."""
    data = tf.io.decode_raw(contents, tf.uint8)
    length = tf.size(data)

    def byte(at):
        return tf.cast(data[tf.minimum(at, length - 1)], tf.int32)

    def table_bytes(flags):  # of a colour table, if the flags say that there is one
        return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def after_blocks(at):
        """Behind a chain of sub-blocks, each with its length before it, and an empty one."""
        at = tf.while_loop(
            lambda at: (byte(at) > 0) & (at < length), lambda at: [at + 1 + byte(at)], [at]
        )[0]
        return at + 1

    at = 13 + table_bytes(byte(10))
    at = tf.while_loop(
        lambda at: (byte(at) == 0x21) & (at < length), lambda at: [after_blocks(at + 2)], [at]
    )[0]
    end = after_blocks(at + 11 + table_bytes(byte(at + 9)))
    return tf.strings.join([tf.strings.substr(contents, 0, end), b";"])


def _decode_bmp(contents, limit):
    """BMP of 8 bits with a palette, 24 or 32 bits, uncompressed.

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
        height, width = tf.abs(field(22, tf.int32)), field(18, tf.int32)
    pixels = tf.io.decode_bmp(_checked(contents, height, width, limit))  # [H, W, bits / 8]

    def through_palette():
        start = 14 + header_size
        length = (pixels_at - start) // 4 * 4
        table = tf.io.decode_raw(tf.strings.substr(contents, start, length), tf.uint8)
        colours = tf.reshape(table, [-1, 4])[:, 2::-1]  # stored as blue, green, red, unused
        return tf.gather(colours, tf.cast(pixels[..., 0], tf.int32))

    return tf.cond(field(28, tf.uint16) == 8, through_palette, lambda: pixels[..., :3])


def _integers(contents, start: int, dtype, big_endian: bool = False):
    """Two numbers that stand at `start`, int32 [2]; zeros of a file that ends before."""
    end = start + 2 * dtype.size
    head = tf.strings.join([tf.strings.substr(contents, 0, end), b"\0" * end])
    numbers = tf.strings.substr(head, start, 2 * dtype.size)
    decoded = tf.io.decode_raw(numbers, dtype, little_endian=not big_endian)
    return tf.cast(tf.ensure_shape(decoded, [2]), tf.int32)
