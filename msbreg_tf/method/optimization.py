"""LARS and the learning-rate schedule as callbacks that install themselves on a compiled model."""

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method import lars
from msbreg_tf.method.schedules import warmup_cosine

_TRUST_RATIOS = ("trust_ratio_min", "trust_ratio_mean", "trust_ratio_max")


class LARS(keras.callbacks.Callback):
    """Makes a model compiled with momentum SGD train by LARS (METHOD.md, "Optimisation").

    It installs itself as `model.lars`; the model's `train_step` must call `model.lars.adapt` on
    gradients that are summed over replicas, as `MSBReg` does. The arithmetic depends on gradient
    and weight alone, so a resumed run continues exactly.
    """

    def __init__(self, trust_coefficient: float = 0.001, weight_decay: float = 1e-5):
        """Takes η and β; biases and norm parameters (rank < 2) get neither adaptation nor decay."""
        super().__init__()
        self.trust_coefficient = trust_coefficient
        self.weight_decay = weight_decay

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "lars"):
            raise ValueError(
                f"LARS can't be installed on {type(self.model).__name__}: its train_step must "
                "call `model.lars.adapt` on the aggregated gradients, as MSBReg's does."
            )
        if not isinstance(_inner(self.model.optimizer), keras.optimizers.SGD):
            raise ValueError(
                "LARS scales the gradients of momentum SGD: compile the model with "
                f"keras.optimizers.SGD, not {type(self.model.optimizer).__name__}."
            )
        self.model.lars = self
        with self.model.distribute_strategy.scope():
            self.model.declare_metrics(*_TRUST_RATIOS)
        # A model that was fitted before has a traced step without LARS.
        self.model.make_train_function(force=True)

    def adapt(
        self, gradients: list[tf.Tensor], weights: list[tf.Variable]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """`lars.adapt`, and the smallest, mean and largest trust ratio as metrics."""
        gradients, ratios = lars.adapt(
            gradients,
            weights,
            trust_coefficient=self.trust_coefficient,
            weight_decay=self.weight_decay,
        )
        ratios = tf.stack(ratios)  # [number of kernels]
        reduced = (tf.reduce_min(ratios), tf.reduce_mean(ratios), tf.reduce_max(ratios))
        return gradients, dict(zip(_TRUST_RATIOS, reduced))


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
        optimizer = _inner(self.model.optimizer)
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


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)
