"""The orientation that a camera writes beside its pixels, read by graph operations."""

import tensorflow as tf

_HEADER_BYTES = 1 << 17  # EXIF is one segment of at most 64 KiB, near the beginning


def orientation_of(contents: tf.Tensor, before: bytes) -> tf.Tensor:
    """EXIF's orientation, 1 to 8, of the TIFF structure behind the bytes `before`; 1 without."""
    exif = tiff_of(contents, before)

    def read():
        order = tf.strings.substr(exif, 0, 4)
        big = order == b"MM\0*"
        return tf.cond(big | (order == b"II*\0"), lambda: _tag_of_tiff(exif, big), lambda: 1)

    return tf.cond(exif != b"", read, lambda: 1)


def tiff_of(contents: tf.Tensor, before: bytes) -> tf.Tensor:
    """The beginning of an encoded image from behind the bytes `before` on; empty without them."""
    header = tf.strings.substr(contents, 0, _HEADER_BYTES)
    parts = tf.strings.split(header[tf.newaxis], before, maxsplit=1).values
    return tf.concat([parts, [b""]], axis=0)[1]


def _tag_of_tiff(exif, big_endian):
    """The value of tag 274, orientation, in the first directory of a TIFF structure."""
    data = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int32)
    short = tf.where(big_endian, [256, 1], [1, 256])
    long = tf.where(big_endian, [0, 65536, 256, 1], [1, 256, 65536, 0])  # of 128 KiB at most
    start = tf.reduce_sum(data[4:8] * long)
    count = tf.reduce_sum(data[start : start + 2] * short)
    count = tf.minimum(count, (tf.size(data) - start - 2) // 12)  # cut off behind 128 KiB
    entries = tf.reshape(data[start + 2 : start + 2 + 12 * tf.maximum(count, 0)], [-1, 12])
    tags = tf.reduce_sum(entries[:, :2] * short, axis=1)
    values = tf.reduce_sum(entries[:, 8:10] * short, axis=1)
    found = tf.concat([tf.boolean_mask(values, tags == 274), [1]], axis=0)[0]
    return tf.where((found >= 1) & (found <= 8), found, 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] as a person sees it, by EXIF's orientation, an int32 scalar from 1 to 8."""

    def turned():
        upright = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        for axis, mirrored in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
            flip = tf.reduce_any(orientation == tf.constant(mirrored))
            upright = tf.cond(
                flip,
                lambda upright=upright, axis=axis: tf.reverse(upright, [axis]),
                lambda upright=upright: upright,
            )
        return upright

    return tf.cond(orientation == 1, lambda: image, turned)
