"""What an operation is, and what its random numbers are made into."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional

import tensorflow as tf

from msbreg_tf.augment.planes import Planes
from msbreg_tf.augment.settings import AugmentSettings

Uniforms = dict[str, tf.Tensor]  # {name: float32 [B, K], or [B, K, count] of several}


class Operation(NamedTuple):
    """A row of `OPERATIONS`.

    Attributes:
      draws: {name: how many} of the uniform numbers in [0, 1) that a view needs for it.
      probability: the setting that says how often it is applied; None: always.
      parameters: (settings, its uniforms) → tensors, [B, K] each, for `apply`.
      apply: (colours, parameters) → colours, 0 to 255; compiled by XLA, which does not vectorise a
        loop that joins the three colours. None for crop, flip and blur: `resample.py` makes them
        into one matrix for each axis.
    """

    draws: Mapping[str, int]
    probability: Optional[str] = None
    parameters: Optional[Callable[[AugmentSettings, Uniforms], Any]] = None
    apply: Optional[Callable[[Planes, Any], Planes]] = None

    @property
    def num_draws(self) -> int:
        """How many uniform numbers a view needs for it."""
        return sum(self.draws.values())

    def named(self, uniforms: tf.Tensor) -> Uniforms:
        """Its columns, float32 [B, K, num_draws], by name."""
        named, start = {}, 0
        for name, count in self.draws.items():
            columns = uniforms[..., start : start + count]  # [B, K, count]
            named[name] = columns if count > 1 else columns[..., 0]
            start += count
        return named


def uniform_in(low: float, high: float, uniform: tf.Tensor) -> tf.Tensor:
    """Maps a uniform number in [0, 1) to a uniform one in [low, high)."""
    return low + (high - low) * uniform


def integer_below(count: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Maps a uniform number in [0, 1) to one of 0, 1, …, count − 1; float32, like `count`."""
    return tf.minimum(tf.floor(count * uniform), count - 1)
