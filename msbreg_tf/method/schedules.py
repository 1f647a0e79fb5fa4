"""How the learning rate and the target decay τ move with the step, and who moves the rate."""

import math

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.lars import inner_optimizer


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


class WarmupCosine(keras.callbacks.Callback):
    """Sets the learning rate before every step: linear warm-up from 0, then cosine to 0.

    The step is `optimizer.iterations`, so a resumed run continues exactly.
    """

    def __init__(self, max_lr: float, warmup_steps: int, total_steps: int):
        super().__init__()
        self.max_lr = max_lr
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def on_train_begin(self, logs=None):
        if int(self.model._steps_per_execution.numpy()) != 1:
            raise ValueError("WarmupCosine sets each step's learning rate: steps_per_execution=1.")
        optimizer = inner_optimizer(self.model.optimizer)
        if isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError(
                "WarmupCosine replaces a schedule: compile with a float learning rate."
            )

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step that follows `step` finished ones."""
        return warmup_cosine(
            step,
            max_value=self.max_lr,
            warmup_steps=self.warmup_steps,
            total_steps=self.total_steps,
        )

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.learning_rate(finished_steps(self.model))


def finished_steps(model: keras.Model) -> int:
    """Optimizer steps that the model has done, over all starts of its run."""
    return int(model.optimizer.iterations.numpy())
