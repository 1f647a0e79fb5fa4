"""JPEG: decoded as small as is enough, and files of it read at little cost though they may fail."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from msbreg_tf.data.images.exif import orientation_of, tiff_of, upright

START, EXIF = b"\xff\xd8\xff", b"Exif\0\0"
_RATIOS = (1, 2, 4, 8)  # at which the JPEG library can decode

# (height, width) of an upright image, int32 scalars → how many times smaller it may be, int32.
Reduce = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def pixels(contents: tf.Tensor, ratio: int = 1) -> tf.Tensor:
    """uint8 [H, W, 3] as it is stored, 1, 2, 4 or 8 times smaller; fails for a damaged file."""
    # The default is faster and off by up to 4 of 255; this is what Pillow computes, to the bit.
    return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def at_a_ratio(decode: Callable, contents: tf.Tensor, reduce: Reduce, size: tf.Tensor) -> tf.Tensor:
    """`decode(contents, ratio=)` at the largest ratio that `reduce` allows at this size."""
    allowed = tf.convert_to_tensor(reduce(*tf.unstack(size)))
    chosen = tf.reduce_sum(tf.cast(allowed >= _RATIOS[1:], tf.int32))
    at = [functools.partial(decode, contents, ratio=ratio) for ratio in _RATIOS]
    return tf.switch_case(chosen, at)


def read_sound_jpeg(
    path: tf.Tensor, reduce: Reduce, megapixels: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """What `decoding.decode_reduced` makes of a file that is a sound JPEG; fails for none.

    The few operations that may fail are apart from all others, which is three times as fast as
    trying all of them: see `attempted`.

    Args:
      path: string scalar.
      reduce: how many times smaller than stored the image may be.
      megapixels: what has more is not decoded.

    Returns:
      uint8 [H, W, 3], upright, which is [0, 0, 3] if it is no sound JPEG; and the upright size that
      is stored, int32 [2].
    """

    def header(path):
        contents = tf.io.read_file(path)
        return contents, tf.image.extract_jpeg_shape(contents)[:2]

    contents, stored = attempted(header, [path], [b"", [0, 0]])
    area = tf.reduce_prod(tf.cast(stored, tf.int64))
    usable = tf.strings.substr(contents, 0, len(START)) == START
    usable &= area <= round(megapixels * 1e6)
    orientation = tf.cond(usable, lambda: _orientation_or_none(contents), lambda: 0)
    size = tf.where(orientation >= 5, stored[::-1], stored)

    def decoded():
        return upright(at_a_ratio(_pixels_or_none, contents, reduce, size), orientation)

    return tf.cond(orientation > 0, decoded, _no_pixels), size


def _orientation_or_none(contents):
    def read(contents):
        return (orientation_of(contents, EXIF),)

    without = tiff_of(contents, EXIF) == b""
    return tf.cond(without, lambda: 1, lambda: attempted(read, [contents], [0])[0])


def _pixels_or_none(contents, ratio: int):
    return attempted(lambda c: (pixels(c, ratio),), [contents], [_no_pixels()])[0]


def _no_pixels():
    return tf.zeros([0, 0, 3], tf.uint8)


def attempted(function: Callable, inputs: Sequence[Any], otherwise: Sequence[Any]) -> Any:
    """What `function` makes of `inputs`, or `otherwise` where one of its operations fails.

    A graph can catch errors only in a data set, whose function TensorFlow builds anew each time:
    keep it to few operations. A hundred cost half a millisecond.

    Args:
      function: as many tensors as `inputs` → a tuple of tensors.
      inputs: tensors.
      otherwise: tensors of the types that `function` returns.
    """
    made = tf.data.Dataset.from_tensors(tuple(inputs)).map(function).ignore_errors()
    instead = tf.data.Dataset.from_tensors(tuple(otherwise))
    return made.concatenate(instead).take(1).get_single_element()
