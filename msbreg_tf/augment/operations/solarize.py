"""Solarisation: bright values are inverted."""

import tensorflow as tf

from msbreg_tf.augment.operations.operation import Operation, Uniforms
from msbreg_tf.augment.planes import WHITE, Planes, at_most_white, beside_planes
from msbreg_tf.augment.settings import AugmentSettings


def parameters(settings: AugmentSettings, u: Uniforms) -> tf.Tensor:
    """Values above which a view is inverted, float32 [B, K]; white inverts nothing."""
    applied = u["solarize"] < settings.solarize_probability
    return tf.where(applied, WHITE * settings.solarize_threshold, WHITE)


def apply(planes: Planes, threshold: tf.Tensor) -> Planes:
    """Inverts the values above `threshold`, float32 [B, K]."""
    limit = beside_planes(threshold)
    # Means of white exceed it by a rounding error, which must not be inverted.
    return at_most_white(planes).map(lambda plane: tf.where(plane > limit, WHITE - plane, plane))


OPERATION = Operation({"solarize": 1}, "solarize_probability", parameters, apply)
