"""Horizontal flip."""

import tensorflow as tf

from msbreg_tf.augment.operations.operation import Operation, Uniforms
from msbreg_tf.augment.settings import AugmentSettings

OPERATION = Operation(draws={"flip": 1}, probability="flip_probability")


def is_flipped(settings: AugmentSettings, u: Uniforms) -> tf.Tensor:
    """Which views are flipped, bool [B, K]."""
    return u["flip"] < settings.flip_probability
