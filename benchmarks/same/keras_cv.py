"""keras-cv's layers with forced parameters."""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip
from keras_cv import layers  # isort: skip

from benchmarks.same import forced  # isort: skip

_RANGE = (0, 255)


def crop(image):
    """The resampling of RandomCropAndResize, which has no way to force its box."""
    height, width = image.shape[0] - 1, image.shape[1] - 1
    top, left = forced.TOP, forced.LEFT
    box = [
        top / height,
        left / width,
        (top + forced.HEIGHT) / height,
        (left + forced.WIDTH) / width,
    ]
    return tf.image.crop_and_resize(image[None], [box], [0], [forced.SIZE] * 2)[0].numpy()


def layer(make):
    def apply(image):
        pixels = tf.cast(image[: forced.SIZE, : forced.SIZE], tf.float32)
        return np.asarray(make()(pixels[None], training=True)[0])

    return apply


def saturation():
    factor = forced.SATURATION / (1 + forced.SATURATION)
    return layers.RandomSaturation((factor, factor))


def contrast():
    change = forced.CONTRAST - 1
    return layers.RandomContrast(_RANGE, (-change, change))


OPERATIONS = {
    "crop": crop,
    "flip": layer(lambda: layers.RandomFlip("horizontal", rate=1.0)),
    "brightness": layer(lambda: layers.RandomBrightness((forced.BRIGHTNESS - 1,) * 2)),
    "contrast": layer(contrast),
    "saturation": layer(saturation),
    "hue": layer(lambda: layers.RandomHue((2 * forced.HUE,) * 2, _RANGE)),
    "grey": layer(lambda: layers.Grayscale(3)),
    "blur": layer(lambda: layers.RandomGaussianBlur(forced.KERNEL, (forced.SIGMA,) * 2)),
    "solarisation": layer(lambda: layers.Solarization(_RANGE, threshold_factor=(127.5, 127.5))),
}
