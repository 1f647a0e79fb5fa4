"""The colour operations of all views at once.

Parameters are `[B, K]`. XLA compiles what is here and fuses what would be some hundred passes over
memory.
"""

from typing import Any

import tensorflow as tf

from msbreg_tf.augment.operations.table import OPERATIONS
from msbreg_tf.augment.planes import MID_GREY, Planes, at_most_white


@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def recolour(lines: tf.Tensor, parameters: dict[str, Any]) -> tf.Tensor:
    """Applies the colour operations in the order of their table, and rounds.

    Args:
      lines: of any number type, [B, K, S, 3, S], −128 to 127: what the colours exceed MID_GREY by,
        each row of an image as one line of reds, one of greens and one of blues.
      parameters: {operation: what its `parameters` made}; an operation that is not named is left
        out.

    Returns:
      int32 [B, K, S, S]: red + 256 green + 65,536 blue, see `pixels`.
    """
    planes = Planes(*tf.unstack(tf.cast(lines, tf.float32) + MID_GREY, axis=3))  # [B, K, S, S] each
    for name, operation in OPERATIONS.items():
        if name in parameters:
            planes = operation.apply(planes, parameters[name])
    # Means of white exceed it by a rounding error, which must not overflow.
    rounded = at_most_white(planes).map(lambda plane: tf.cast(plane + 0.5, tf.int32))
    return rounded.red + 256 * rounded.green + 65536 * rounded.blue


def pixels(words: tf.Tensor) -> tf.Tensor:
    """Colours packed by `recolour`, int32 [B, K, S, S] → uint8 [B, K, S, S, 3].

    Putting the colours last takes XLA three times as long, and a transposition twice.
    """
    return tf.bitcast(words, tf.uint8)[..., :3]
