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
from msbreg_tf.augment import colour, resample  # isort: skip
from msbreg_tf.augment.operations.jitter import Jitter  # isort: skip
from msbreg_tf.augment.planes import MID_GREY  # isort: skip

WHOLE = (0.0, float(SIZE))  # start and length of an axis that is not cropped


def _resample(image, rows, columns, sigma=None):
    """Crops by (start, length) of both axes, resizes to SIZE and blurs: float32 [1, 1, S, 3, S]."""
    image = tf.cast(image, tf.float32) - MID_GREY
    matrices = [
        resample.resample_matrices(*(tf.constant([[v]], tf.float32) for v in axis), n, SIZE, sigma)
        for axis, n in ((rows, image.shape[0]), (columns, image.shape[1]))
    ]
    return resample.apply_to_rows_and_columns(image[None], *matrices)


def _pixels(lines, **parameters):
    """Recolours with {operation: its parameters} and returns the view, uint8 [S, S, 3]."""
    return colour.pixels(colour.recolour(lines, parameters))[0, 0].numpy()


def _plain(image):
    return _resample(image[:SIZE, :SIZE], WHOLE, WHOLE)


def crop(image):
    return _pixels(_resample(image, (TOP, HEIGHT), (LEFT, WIDTH)))


def flip(image):
    """The mirrored crop of everything, as the layer does it."""
    return _pixels(_resample(image[:SIZE, :SIZE], WHOLE, (SIZE, -SIZE)))


def jitter(**changes):
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "turn": 0.0}
    values = {name: tf.constant([[v]]) for name, v in (neutral | changes).items()}
    parameters = Jitter(**values, order=tf.constant([[0]]))
    return lambda image: _pixels(_plain(image), jitter=parameters)


def grey(image):
    return _pixels(_plain(image), grey=tf.constant([[True]]))


def blur(image):
    return _pixels(_resample(image[:SIZE, :SIZE], WHOLE, WHOLE, tf.constant([[SIGMA]])))


def solarize(image):
    return _pixels(_plain(image), solarize=tf.constant([[127.5]]))


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
