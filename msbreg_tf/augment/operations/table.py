"""The operations of a view, in the order in which their colours are applied."""

import tensorflow as tf

from msbreg_tf.augment.operations import blur, crop, flip, grey, jitter, solarize
from msbreg_tf.augment.operations.operation import Uniforms
from msbreg_tf.augment.settings import AugmentSettings

OPERATIONS = {
    "crop": crop.OPERATION,
    "flip": flip.OPERATION,
    "jitter": jitter.OPERATION,
    "grey": grey.OPERATION,
    "blur": blur.OPERATION,
    "solarize": solarize.OPERATION,
}


def num_draws() -> int:
    """Uniform numbers that a view needs in all."""
    return sum(operation.num_draws for operation in OPERATIONS.values())


def columns() -> dict[str, slice]:
    """{operation: its columns in a row of draws}."""
    found, start = {}, 0
    for name, operation in OPERATIONS.items():
        found[name] = slice(start, start + operation.num_draws)
        start += operation.num_draws
    return found


def uniforms_of(name: str, draws: tf.Tensor) -> Uniforms:
    """One operation's uniform numbers by name, from rows of draws, float32 [B, K, num_draws()]."""
    return OPERATIONS[name].named(draws[..., columns()[name]])


def only(*operations: str, **changes: float) -> AugmentSettings:
    """Settings in which no other operation is ever applied, whatever the table will hold.

    Args:
      *operations: names in `OPERATIONS`.
      **changes: settings that differ from their defaults.

    Raises:
      ValueError: an unknown operation.
    """
    if unknown := set(operations) - OPERATIONS.keys():
        raise ValueError(f"{unknown.pop()}: expected one of {', '.join(OPERATIONS)}.")
    off = {
        operation.probability: 0.0
        for name, operation in OPERATIONS.items()
        if name not in operations and operation.probability
    }
    return AugmentSettings(**{**off, **changes})
