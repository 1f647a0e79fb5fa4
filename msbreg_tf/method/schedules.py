"""How the learning rate and the target decay τ move with the step: pure arithmetic."""

import math

import tensorflow as tf


def warmup_cosine(step: int, *, max_value: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up from 0, then cosine to 0 without restarts (supplement 1.1).

    Args:
      step: optimizer steps done so far, from 0.
      max_value: value at the end of the warm-up.
      warmup_steps: steps of linear warm-up; 0 starts at `max_value`.
      total_steps: step at which the value reaches 0; it stays there.

    Returns:
      The value for the step that comes next.
    """
    if step < warmup_steps:
        return max_value * step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return max_value * 0.5 * (1.0 + math.cos(math.pi * progress))


def cosine_tau(step: tf.Tensor, *, tau_base: float, total_steps: int) -> tf.Tensor:
    """Target decay: τ = 1 − (1 − τ_base) (cos(π step / total) + 1) / 2 (BYOL, section 3.2).

    Args:
      step: integer scalar, optimizer steps done so far.
      tau_base: τ at step 0.
      total_steps: step at which τ reaches 1; it stays there.

    Returns:
      float32 scalar.
    """
    progress = tf.minimum(tf.cast(step, tf.float32) / total_steps, 1.0)
    return 1.0 - (1.0 - tau_base) * (tf.cos(math.pi * progress) + 1.0) / 2.0
