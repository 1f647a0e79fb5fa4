"""The operations of `msbreg_tf.augment`, one at a time."""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import tensorflow as tf  # isort: skip

from benchmarks.same.forced import (  # isort: skip
    BRIGHTNESS,
    CONTRAST,
    HEIGHT,
    HUE,
    LEFT,
    SATURATION,
    SIGMA,
    SIZE,
    TOP,
    WIDTH,
)
from msbreg_tf.augment import colour, geometry  # isort: skip


def _planes(image):
    """uint8 [H, W, 3] → float32 [1, 3, 1, H, W]."""
    return tf.transpose(tf.cast(image, tf.float32), [2, 0, 1])[None, :, None]


def _crop(image, left, width):
    height, columns = image.shape[:2]
    one = [[1.0]]
    rows = geometry.resample_matrices(
        TOP * tf.constant(one), HEIGHT * tf.constant(one), height, SIZE
    )
    matrix = geometry.resample_matrices(
        left * tf.constant(one), width * tf.constant(one), columns, SIZE
    )
    return geometry.apply_to_rows_and_columns(_planes(image), rows, matrix)


def crop(image):
    return _finish(_crop(image, LEFT, WIDTH))


def flip(image):
    """The mirrored crop of everything, as the layer does it."""
    one, whole = tf.constant([[1.0]]), image[:SIZE, :SIZE]
    rows = geometry.resample_matrices(0 * one, SIZE * one, SIZE, SIZE)
    columns = geometry.resample_matrices(SIZE * one, -SIZE * one, SIZE, SIZE)
    return _finish(geometry.apply_to_rows_and_columns(_planes(whole), rows, columns))


def jitter(**changes):
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "turn": 0.0}
    values = {name: tf.constant([[v]]) for name, v in (neutral | changes).items()}
    parameters = colour.Jitter(**values, order=tf.constant([[0]]))
    return lambda image: _finish(colour.recolour(_planes(image[:SIZE, :SIZE]), parameters, None))


def grey(image):
    return _finish(colour.recolour(_planes(image[:SIZE, :SIZE]), None, tf.constant([[True]])))


def blur(image):
    matrices = geometry.blur_matrices(tf.constant([[SIGMA]]), SIZE)
    planes = _planes(image[:SIZE, :SIZE])
    return _finish(geometry.apply_to_rows_and_columns(planes, matrices, matrices))


def solarize(image):
    return _finish(_planes(image[:SIZE, :SIZE]), threshold=tf.constant([[127.5]]))


def _finish(planes, threshold=None):
    return colour.finish(planes, threshold)[0, 0].numpy()


OPERATIONS = {
    "crop": crop,
    "flip": flip,
    "brightness": jitter(brightness=BRIGHTNESS),
    "contrast": jitter(contrast=CONTRAST),
    "saturation": jitter(saturation=SATURATION),
    "hue": jitter(turn=HUE),
    "grey": grey,
    "blur": blur,
    "solarisation": solarize,
}
