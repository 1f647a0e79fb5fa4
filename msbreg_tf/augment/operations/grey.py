"""Dropping the colour."""

import tensorflow as tf

from msbreg_tf.augment.operations.operation import Operation, Uniforms
from msbreg_tf.augment.planes import Planes, beside_planes, grey
from msbreg_tf.augment.settings import AugmentSettings


def parameters(settings: AugmentSettings, u: Uniforms) -> tf.Tensor:
    """Which views become grey, bool [B, K]."""
    return u["grey"] < settings.grey_probability


def apply(planes: Planes, drop: tf.Tensor) -> Planes:
    """Makes the views of `drop`, bool [B, K], grey."""
    dropped = grey(planes)
    return planes.map(lambda plane: tf.where(beside_planes(drop), dropped, plane))


OPERATION = Operation({"grey": 1}, "grey_probability", parameters, apply)
