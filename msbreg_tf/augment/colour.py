"""Colour jitter, grey and solarisation of images in lines, for all views at once.

Values are 0 to 255 throughout, not rounded in between. Parameters are `[B, K]`. XLA compiles these
functions and fuses what would be some hundred passes over memory.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple, Optional

import tensorflow as tf

GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # ITU-R 601, with torchvision's digits
GREY_SUM = sum(GREY_WEIGHTS)
WHITE = 255.0
MID_GREY = 128.0  # bfloat16 has the differences of whole numbers from this, and their means to ¼
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = tuple(itertools.permutations(range(4)))  # the 24 orders of the four operations


class Jitter(NamedTuple):
    """Parameters of colour jitter; a view with factors 1 and turn 0 keeps its colours."""

    brightness: tf.Tensor  # float32 [B, K], factor towards black (0)
    contrast: tf.Tensor  # float32 [B, K], factor towards the mean grey of the view (0)
    saturation: tf.Tensor  # float32 [B, K], factor towards the grey of each pixel (0)
    turn: tf.Tensor  # float32 [B, K], hue shift in turns of the circle, −½ to ½
    order: tf.Tensor  # int32 [B, K], index into ORDERS


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


class _Blend(NamedTuple):
    """The map x → scale·x + grey·grey(x) + offset of colours; each [B, K]."""

    scale: tf.Tensor
    grey: tf.Tensor
    offset: tf.Tensor

    def __call__(self, planes: Planes) -> Planes:
        added = _spread(self.grey) * grey(planes) + _spread(self.offset)
        return planes.map(lambda plane: _spread(self.scale) * plane + added)


@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def recolour(
    lines: tf.Tensor,
    jitter: Optional[Jitter] = None,
    drop: Optional[tf.Tensor] = None,
    threshold: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Applies colour jitter, drops the colour of some views, inverts bright values, and rounds.

    Args:
      lines: of any number type, [B, K, S, 3, S], −128 to 127: what the colours exceed MID_GREY by,
        each row of an image as one line of reds, one of greens and one of blues.
      jitter: parameters; None leaves the jitter out.
      drop: bool [B, K], which views become grey; None leaves this out.
      threshold: float32 [B, K], 0 to 255: values above it are inverted (solarisation), so 255
        inverts nothing; None leaves this out.

    Returns:
      int32 [B, K, S, S]: red + 256 green + 65,536 blue, see `pixels`.
    """
    planes = Planes(*tf.unstack(tf.cast(lines, tf.float32) + MID_GREY, axis=3))
    if jitter is not None:
        planes = apply_jitter(planes, jitter)
    if drop is not None:
        dropped = grey(planes)
        planes = planes.map(lambda plane: tf.where(_spread(drop), dropped, plane))
    # Means of white exceed it by a rounding error, which must neither be inverted nor overflow.
    planes = planes.map(lambda plane: tf.minimum(plane, WHITE))
    if threshold is not None:
        limit = _spread(threshold)
        planes = planes.map(lambda plane: tf.where(plane > limit, WHITE - plane, plane))
    red, green, blue = planes.map(lambda plane: tf.cast(plane + 0.5, tf.int32))
    return red + 256 * green + 65536 * blue


def pixels(words: tf.Tensor) -> tf.Tensor:
    """Colours packed by `recolour`, int32 [B, K, S, S] → uint8 [B, K, S, S, 3].

    Putting the colours last takes XLA three times as long, and a transposition twice.
    """
    return tf.bitcast(words, tf.uint8)[..., :3]


def apply_jitter(planes: Planes, jitter: Jitter) -> Planes:
    """Changes brightness, contrast, saturation and hue, in each view's own order.

    The first three are blends of the image with black, its mean grey and its grey, so those before
    the hue merge into one map of colours, and those after it into another. Values are clipped
    once, at the end, as in DeepMind's BYOL; torchvision clips after each of the four.

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
    planes = _merge(kinds, tf.where(after_hue, 1.0, factors), _mean_grey(planes))(planes)
    planes = turn_hue(planes, jitter.turn)
    planes = _merge(kinds, tf.where(after_hue, factors, 1.0), _mean_grey(planes))(planes)
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


def grey(planes: Planes) -> tf.Tensor:
    """Returns the grey value of each pixel, float32 [B, K, S, S]."""
    return sum(weight * plane for weight, plane in zip(GREY_WEIGHTS, planes))


def _mean_grey(planes: Planes) -> tf.Tensor:
    # By columns first: XLA adds up the last axis one number at a time.
    return tf.reduce_mean(tf.reduce_mean(grey(planes), axis=2), axis=-1)


def _spread(parameter: tf.Tensor) -> tf.Tensor:
    """[B, K] to [B, K, 1, 1], beside planes."""
    return parameter[..., None, None]
