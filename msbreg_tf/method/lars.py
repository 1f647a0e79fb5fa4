"""Layer-wise adaptive rate scaling, as a pure function of (gradient, weight)."""

import tensorflow as tf


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
