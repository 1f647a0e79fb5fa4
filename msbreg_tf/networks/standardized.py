"""Layers whose kernels are standardised before use (weight standardisation)."""

import tensorflow as tf
from tensorflow import keras

_register = keras.saving.register_keras_serializable(package="msbreg_tf")


def standardize(kernel: tf.Tensor) -> tf.Tensor:
    """Returns the kernel with zero mean and variance 1/fan_in per output unit.

    Qiao et al. 2019, times fan_in^−½ as in Brock et al. 2021 (without their gains): a
    unit input then gives a unit output, whether or not a norm layer follows.

    Args:
      kernel: float [..., out]; all axes but the last are the fan-in.

    Returns:
      The shape and dtype of `kernel`.
    """
    # Read once: under a 16-bit policy a Keras variable changes dtype when it is read.
    kernel = tf.convert_to_tensor(kernel)
    exact = tf.cast(kernel, tf.float32)
    fan_in = kernel.shape[:-1].num_elements()
    mean, variance = tf.nn.moments(exact, list(range(kernel.shape.rank - 1)), keepdims=True)
    # 1e-10 keeps the kernel of a single input, which has no spread, at zero.
    standardized = (exact - mean) * tf.math.rsqrt(fan_in * variance + 1e-10)
    return tf.cast(standardized, kernel.dtype)


@_register
class StandardizedConv2D(keras.layers.Conv2D):
    """`Conv2D` that convolves with the standardised kernel."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, standardize(kernel))


@_register
class StandardizedDense(keras.layers.Dense):
    """`Dense` for [*, F] inputs that multiplies with the standardised kernel."""

    def call(self, inputs):
        outputs = tf.matmul(tf.cast(inputs, self.compute_dtype), standardize(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
