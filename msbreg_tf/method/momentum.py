"""Momentum SGD in its two forms: the learning rate inside the velocity, or outside."""

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable(package="msbreg_tf")
class OutsideRateSGD(keras.optimizers.SGD):
    """Momentum SGD with the learning rate outside the velocity, as in PyTorch and BYOL's code:

        v ← m v + g,   w ← w − lr v

    Keras's own has it inside, v ← m v − lr g, w ← w + v. At a constant rate the two are the same
    but for the scale of v; a velocity of one form must not be continued by the other.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Moves one weight by its gradient, a dense tensor of the same shape."""
        velocity = self.momentums[self._index_dict[self._var_key(variable)]]
        velocity.assign(velocity * tf.cast(self.momentum, variable.dtype) + gradient)
        variable.assign_sub(velocity * tf.cast(self.learning_rate, variable.dtype))


def momentum_sgd(form: str, learning_rate: float, momentum: float) -> keras.optimizers.SGD:
    """Returns the optimizer of `--momentum_form`.

    Args:
      form: 'keras' or 'torch'.
      learning_rate: of the first step, unless a schedule sets it.
      momentum: m, from 0 to below 1.

    Raises:
      ValueError: an unknown `form`.
    """
    forms = {"keras": keras.optimizers.SGD, "torch": OutsideRateSGD}
    if form not in forms:
        raise ValueError(f"momentum_form={form}: expected keras or torch.")
    return forms[form](learning_rate, momentum=momentum)
