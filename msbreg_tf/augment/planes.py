"""Colours of images as three planes. Values are 0 to 255, not rounded in between."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # ITU-R 601, with torchvision's digits
GREY_SUM = sum(GREY_WEIGHTS)
WHITE = 255.0
MID_GREY = 128.0  # bfloat16 has the differences of whole numbers from this, and their means to ¼


class Planes(NamedTuple):
    """The three colours of images, each float32 [B, K, S, S].

    Apart from each other, because XLA does not vectorise a loop over colours that it has to join.
    """

    red: tf.Tensor
    green: tf.Tensor
    blue: tf.Tensor

    def map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> "Planes":
        """The planes that `function` makes of each of these."""
        return Planes(*(function(plane) for plane in self))


def grey(planes: Planes) -> tf.Tensor:
    """Returns the grey value of each pixel, float32 [B, K, S, S]."""
    return sum(weight * plane for weight, plane in zip(GREY_WEIGHTS, planes))


def mean_grey(planes: Planes) -> tf.Tensor:
    """Returns the mean grey value of each view, float32 [B, K]."""
    # By columns first: XLA adds up the last axis one number at a time.
    return tf.reduce_mean(tf.reduce_mean(grey(planes), axis=2), axis=-1)


def at_most_white(planes: Planes) -> Planes:
    """Cuts off what exceeds white, as means of white do by a rounding error."""
    return planes.map(lambda plane: tf.minimum(plane, WHITE))


def beside_planes(parameter: tf.Tensor) -> tf.Tensor:
    """[B, K] to [B, K, 1, 1], which goes with planes."""
    return parameter[..., None, None]
