"""Layer-wise adaptive rate scaling: a pure function, and the callback that installs it."""

import tensorflow as tf
from tensorflow import keras

_TRUST_RATIOS = ("trust_ratio_min", "trust_ratio_mean", "trust_ratio_max")


def is_adapted(weight: tf.Variable) -> bool:
    """True for kernels; biases and norm parameters (rank < 2) get no decay and no adaptation."""
    return weight.shape.rank >= 2


def trust_ratio(gradient: tf.Tensor, weight: tf.Tensor, trust_coefficient: float) -> tf.Tensor:
    """η ‖w‖ / ‖g‖, and 1 where either norm is zero (You et al., arXiv 1708.03888, eq. 6).

    Args:
      gradient: float32, weight decay already added.
      weight: float32, same shape.
      trust_coefficient: η.

    Returns:
      float32 scalar.
    """
    gradient_norm, weight_norm = _norm(gradient), _norm(weight)
    usable = tf.logical_and(gradient_norm > 0, weight_norm > 0)
    safe_norm = tf.where(usable, gradient_norm, 1.0)
    return tf.where(usable, trust_coefficient * weight_norm / safe_norm, 1.0)


def _norm(tensor: tf.Tensor) -> tf.Tensor:
    """‖x‖ without a copy of x: `tf.norm` writes all squares to memory first."""
    return tf.sqrt(2.0 * tf.nn.l2_loss(tensor))


def adapt(
    gradients: list[tf.Tensor],
    weights: list[tf.Variable],
    *,
    trust_coefficient: float,
    weight_decay: float,
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """g ← η ‖w‖ / ‖g + β w‖ · (g + β w) for every kernel; others unchanged.

    Args:
      gradients: aggregated over replicas and unscaled, one per weight.
      weights: the weights.
      trust_coefficient: η.
      weight_decay: β.

    Returns:
      The new gradients, and the trust ratios of the adapted ones (float32 scalars).
    """
    adapted, ratios = [], []
    for gradient, weight in zip(gradients, weights):
        if is_adapted(weight):
            gradient = gradient + weight_decay * weight
            ratios.append(trust_ratio(gradient, weight, trust_coefficient))
            gradient = ratios[-1] * gradient
        adapted.append(gradient)
    return adapted, ratios


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
        if not isinstance(inner_optimizer(self.model.optimizer), keras.optimizers.SGD):
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
        """`adapt`, and the smallest, mean and largest trust ratio as metrics."""
        gradients, ratios = adapt(
            gradients,
            weights,
            trust_coefficient=self.trust_coefficient,
            weight_decay=self.weight_decay,
        )
        ratios = tf.stack(ratios)  # [number of kernels]
        reduced = (tf.reduce_min(ratios), tf.reduce_mean(ratios), tf.reduce_max(ratios))
        return gradients, dict(zip(_TRUST_RATIOS, reduced))


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer itself, where loss scaling is wrapped around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)
