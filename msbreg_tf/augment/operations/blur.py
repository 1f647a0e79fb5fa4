"""Gaussian blur."""

import tensorflow as tf

from msbreg_tf.augment.operations.operation import Operation, Uniforms, uniform_in
from msbreg_tf.augment.settings import AugmentSettings

OPERATION = Operation(draws={"blur": 1, "sigma": 1}, probability="blur_probability")
_NO_BLUR = 0.01  # pixels; the Gaussian's neighbours underflow to exactly 0


def sigma(settings: AugmentSettings, u: Uniforms) -> tf.Tensor:
    """Standard deviation of each view's blur in pixels, float32 [B, K]; tiny for no blur."""
    chosen = uniform_in(settings.blur_sigma_min, settings.blur_sigma_max, u["sigma"])
    return tf.where(u["blur"] < settings.blur_probability, chosen, _NO_BLUR)
