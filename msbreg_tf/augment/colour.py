"""Colour jitter, grey and solarisation of planar images, for all views at once.

Values are 0 to 255 throughout, not rounded in between. Planes are `[B, K, 3, S, S]`, parameters
`[B, K]`. XLA compiles these functions: it fuses what would be some hundred passes over memory.
"""

import itertools
from typing import NamedTuple, Optional

import tensorflow as tf

GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # ITU-R 601, with torchvision's digits
GREY_SUM = sum(GREY_WEIGHTS)
WHITE = 255.0
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = tuple(itertools.permutations(range(4)))  # the 24 orders of the four operations


class Jitter(NamedTuple):
    """Parameters of colour jitter; a view with factors 1 and turn 0 keeps its colours."""

    brightness: tf.Tensor  # float32 [B, K], factor towards black (0)
    contrast: tf.Tensor  # float32 [B, K], factor towards the mean grey of the view (0)
    saturation: tf.Tensor  # float32 [B, K], factor towards the grey of each pixel (0)
    turn: tf.Tensor  # float32 [B, K], hue shift in turns of the circle, −½ to ½
    order: tf.Tensor  # int32 [B, K], index into ORDERS


class _Blend(NamedTuple):
    """The map x → scale·x + grey·grey(x) + offset of colours; each [B, K]."""

    scale: tf.Tensor
    grey: tf.Tensor
    offset: tf.Tensor

    def __call__(self, planes: tf.Tensor) -> tf.Tensor:
        return _spread(self.scale) * planes + (
            _spread(self.grey) * grey(planes) + _spread(self.offset)
        )


@tf.function(jit_compile=True, reduce_retracing=True)
def recolour(planes: tf.Tensor, jitter: Optional[Jitter], drop: Optional[tf.Tensor]) -> tf.Tensor:
    """Applies colour jitter, then drops the colour of some views.

    Args:
      planes: float32 [B, K, 3, S, S], 0 to 255.
      jitter: parameters; None leaves the jitter out.
      drop: bool [B, K], which views become grey; None leaves this out.

    Returns:
      float32 [B, K, 3, S, S], 0 to 255.
    """
    if jitter is not None:
        planes = apply_jitter(planes, jitter)
    if drop is not None:
        planes = tf.where(_spread(drop), grey(planes), planes)
    return planes


@tf.function(jit_compile=True, reduce_retracing=True)
def finish(planes: tf.Tensor, threshold: Optional[tf.Tensor]) -> tf.Tensor:
    """Inverts values above a threshold (solarisation), rounds and puts the colours last.

    Args:
      planes: float32 [B, K, 3, S, S], 0 to 255.
      threshold: float32 [B, K], 0 to 255, and 255 inverts nothing; None leaves the inversion out.

    Returns:
      uint8 [B, K, S, S, 3].
    """
    # Means of white exceed it by a rounding error, which must neither be inverted nor overflow.
    planes = tf.minimum(planes, WHITE)
    if threshold is not None:
        planes = tf.where(planes > _spread(threshold), WHITE - planes, planes)
    return tf.transpose(tf.cast(planes + 0.5, tf.uint8), [0, 1, 3, 4, 2])


def apply_jitter(planes: tf.Tensor, jitter: Jitter) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in each view's own order.

    The first three are blends of the image with black, its mean grey and its grey, so those before
    the hue merge into one map of colours, and those after it into another. Values are clipped
    once, at the end, as in DeepMind's BYOL; torchvision clips after each of the four.

    Args:
      planes: float32 [B, K, 3, S, S], 0 to 255.
      jitter: the parameters.

    Returns:
      float32 [B, K, 3, S, S], 0 to 255.
    """
    kinds = tf.gather(tf.constant(ORDERS), jitter.order)  # [B, K, 4]
    # As a blend, hue has factor 1: it changes nothing.
    factors = tf.stack([*jitter[:3], tf.ones_like(jitter.turn)], axis=-1)
    factors = tf.gather(factors, kinds, batch_dims=2)
    after_hue = tf.cumsum(tf.cast(kinds == HUE, tf.int32), axis=-1) > 0
    planes = _merge(kinds, tf.where(after_hue, 1.0, factors), _mean_grey(planes))(planes)
    planes = turn_hue(planes, jitter.turn)
    planes = _merge(kinds, tf.where(after_hue, factors, 1.0), _mean_grey(planes))(planes)
    return tf.clip_by_value(planes, 0.0, WHITE)


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


def turn_hue(planes: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue in HSV space, where value and saturation stay what they are.

    With M and m the largest and smallest of a pixel's colours and h its hue in sixths of a turn,
    each colour is m + (M − m) · clip(|h − h₀ (mod 6) − 3| − 1, 0, 1), where h₀ is 0 for red, 2 for
    green and 4 for blue. No step needs values in [0, 1].

    Args:
      planes: float32 [B, K, 3, S, S].
      turn: float32 [B, K], shift in turns.

    Returns:
      float32 [B, K, 3, S, S].
    """
    r, g, b = tf.unstack(planes, axis=2)
    largest = tf.maximum(tf.maximum(r, g), b)
    smallest = tf.minimum(tf.minimum(r, g), b)
    chroma = largest - smallest
    inverse = 1 / tf.maximum(chroma, 1e-6)
    hue = tf.where(
        largest == r,
        (g - b) * inverse,
        tf.where(largest == g, 2 + (b - r) * inverse, 4 + (r - g) * inverse),
    )
    hue += 6 * turn[..., None, None]

    def colour(own_hue):
        angle = hue - own_hue
        angle -= 6 * tf.floor(angle / 6)
        return smallest + chroma * tf.clip_by_value(tf.abs(angle - 3) - 1, 0.0, 1.0)

    return tf.stack([colour(0.0), colour(2.0), colour(4.0)], axis=2)


def grey(planes: tf.Tensor) -> tf.Tensor:
    """Returns the grey value of each pixel, float32 [B, K, 1, S, S]."""
    r, g, b = tf.unstack(planes, axis=2)
    return (GREY_WEIGHTS[0] * r + GREY_WEIGHTS[1] * g + GREY_WEIGHTS[2] * b)[:, :, None]


def _mean_grey(planes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(grey(planes), axis=[2, 3, 4])


def _spread(parameter: tf.Tensor) -> tf.Tensor:
    """[B, K] to [B, K, 1, 1, 1], beside planes."""
    return parameter[..., None, None, None]
