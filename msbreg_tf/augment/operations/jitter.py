"""Colour jitter: brightness, contrast, saturation and hue, in each view's own order."""

import itertools
from typing import NamedTuple

import tensorflow as tf

from msbreg_tf.augment.operations.operation import (
    Operation,
    Uniforms,
    integer_below,
    uniform_in,
)
from msbreg_tf.augment.planes import (
    GREY_SUM,
    WHITE,
    Planes,
    beside_planes,
    grey,
    mean_grey,
)
from msbreg_tf.augment.settings import AugmentSettings

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = tuple(itertools.permutations(range(4)))  # the 24 orders of the four operations


class Jitter(NamedTuple):
    """Parameters of colour jitter; a view with factors 1 and turn 0 keeps its colours."""

    brightness: tf.Tensor  # float32 [B, K], factor towards black (0)
    contrast: tf.Tensor  # float32 [B, K], factor towards the mean grey of the view (0)
    saturation: tf.Tensor  # float32 [B, K], factor towards the grey of each pixel (0)
    turn: tf.Tensor  # float32 [B, K], hue shift in turns of the circle, −½ to ½
    order: tf.Tensor  # int32 [B, K], index into ORDERS


def parameters(settings: AugmentSettings, u: Uniforms) -> Jitter:
    """The jitter of each view; factors 1 and turn 0 where it is not applied."""
    applied = u["jitter"] < settings.jitter_probability

    def change(name):
        strength = getattr(settings, name)
        return tf.where(applied, uniform_in(-strength, strength, u[name]), 0.0)

    return Jitter(
        brightness=1 + change("brightness"),
        contrast=1 + change("contrast"),
        saturation=1 + change("saturation"),
        turn=change("hue"),
        order=tf.cast(integer_below(len(ORDERS), u["order"]), tf.int32),
    )


class _Blend(NamedTuple):
    """The map x → scale·x + grey·grey(x) + offset of colours; each [B, K]."""

    scale: tf.Tensor
    grey: tf.Tensor
    offset: tf.Tensor

    def __call__(self, planes: Planes) -> Planes:
        added = beside_planes(self.grey) * grey(planes) + beside_planes(self.offset)
        return planes.map(lambda plane: beside_planes(self.scale) * plane + added)


def apply(planes: Planes, jitter: Jitter) -> Planes:
    """Changes brightness, contrast, saturation and hue, in each view's own order.

    The first three are blends of the image with black, its mean grey and its grey, so those before
    the hue merge into one map of colours, and those after it into another. Values are clipped
    once, at the end; torchvision clips after each of the four.

    Args:
      planes: 0 to 255.
      jitter: the parameters.

    Returns:
      Planes, 0 to 255.
    """
    kinds = tf.gather(tf.constant(ORDERS), jitter.order)  # [B, K, 4]
    # As a blend, hue has factor 1: it changes nothing.
    factors = tf.stack([*jitter[:3], tf.ones_like(jitter.turn)], axis=-1)
    factors = tf.gather(factors, kinds, batch_dims=2)
    after_hue = tf.cumsum(tf.cast(kinds == HUE, tf.int32), axis=-1) > 0
    planes = _merge(kinds, tf.where(after_hue, 1.0, factors), mean_grey(planes))(planes)
    planes = turn_hue(planes, jitter.turn)
    planes = _merge(kinds, tf.where(after_hue, factors, 1.0), mean_grey(planes))(planes)
    return planes.map(lambda plane: tf.clip_by_value(plane, 0.0, WHITE))


def _merge(kinds: tf.Tensor, factors: tf.Tensor, mean: tf.Tensor) -> _Blend:
    """Merges four successive blends into one.

    With current colours c = scale·x + grey·g(x) + offset and W the sum of the grey weights,
    g(c) = (scale + W·grey)·g(x) + W·offset; contrast blends c with the mean of that, saturation
    with that, and brightness with 0.

    Args:
      kinds: int32 [B, K, 4], the operations in their order.
      factors: float32 [B, K, 4], their factors; 1 changes nothing.
      mean: float32 [B, K], mean grey of the view before the first operation.

    Returns:
      The merged map.
    """
    scale, grey_share, offset = tf.ones_like(mean), tf.zeros_like(mean), tf.zeros_like(mean)
    for kind, factor in zip(tf.unstack(kinds, axis=-1), tf.unstack(factors, axis=-1)):
        to_mean = tf.where(kind == CONTRAST, 1 - factor, 0.0)
        to_grey = tf.where(kind == SATURATION, 1 - factor, 0.0)
        grey_of_now, offset_of_now = scale + GREY_SUM * grey_share, GREY_SUM * offset
        offset = (
            factor * offset + (to_mean + to_grey) * offset_of_now + to_mean * grey_of_now * mean
        )
        grey_share = factor * grey_share + to_grey * grey_of_now
        scale = factor * scale
    return _Blend(scale, grey_share, offset)


def turn_hue(planes: Planes, turn: tf.Tensor) -> Planes:
    """Turns the hue in HSV space, where value and saturation stay what they are.

    With M and m the largest and smallest of a pixel's colours, C = M − m its chroma and h its hue
    in sixths of a turn, each colour is M + C − C·d, but at most M and at least m, where d is the
    distance of h around the circle of 6 from h₀, 0 for red, 2 for green and 4 for blue. Here all
    angles are multiplied by C, so that nothing is divided by it.

    Args:
      planes: of any range.
      turn: float32 [B, K], shift in turns, −½ to ½.

    Returns:
      Planes.
    """
    red, green, blue = planes
    largest = tf.maximum(tf.maximum(red, green), blue)
    smallest = tf.minimum(tf.minimum(red, green), blue)
    chroma = largest - smallest
    hue = tf.where(
        largest == red,
        green - blue,
        tf.where(largest == green, 2 * chroma + (blue - red), 4 * chroma + (red - green)),
    )
    hue += 6 * turn[..., None, None] * chroma  # −4 to 8 times the chroma

    def colour(own_hue):
        distance = tf.abs(hue - own_hue * chroma)
        distance = tf.minimum(distance, tf.abs(distance - 6 * chroma))
        return tf.minimum(tf.maximum(largest + chroma - distance, smallest), largest)

    return Planes(colour(0.0), colour(2.0), colour(4.0))


OPERATION = Operation(
    {
        "jitter": 1,
        "brightness": 1,
        "contrast": 1,
        "saturation": 1,
        "hue": 1,
        "order": 1,
    },
    "jitter_probability",
    parameters,
    apply,
)
