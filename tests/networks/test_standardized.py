import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.networks.standardized import StandardizedConv2D, StandardizedDense, standardize


def test_hand_value():
    kernel = tf.constant([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
    expected = np.array([[-2, -2], [0, -2], [2, 4]]) / np.sqrt([8, 24])
    np.testing.assert_allclose(standardize(kernel), expected, rtol=1e-6)


@pytest.fixture(params=["conv", "dense"])
def layer_and_input(request):
    random = np.random.default_rng(0)
    if request.param == "conv":
        layer, shape = StandardizedConv2D(5, 3, strides=2, padding="same"), (2, 8, 8, 4)
    else:
        layer, shape = StandardizedDense(5, activation="tanh"), (2, 4)
    x = tf.constant(random.normal(size=shape), tf.float32)
    layer(x)
    return layer, x


def test_output_ignores_affine_changes_of_the_kernel(layer_and_input):
    layer, x = layer_and_input
    before = layer(x)
    layer.kernel.assign(7.0 * layer.kernel + 0.5)
    np.testing.assert_allclose(layer(x), before, atol=1e-5)
    layer.kernel.assign(-layer.kernel)
    assert np.abs(layer(x) - before).max() > 0.1


def test_unit_input_gives_unit_output():
    x = tf.random.stateless_normal([4000, 300], [1, 2])
    layer = StandardizedDense(50)
    assert float(tf.math.reduce_std(layer(x))) == pytest.approx(1.0, abs=0.02)


def test_gradient_is_orthogonal_to_the_kernel(layer_and_input):
    layer, x = layer_and_input
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 3)
    gradient = tape.gradient(loss, layer.kernel)
    axes = list(range(gradient.shape.rank - 1))
    scale = np.linalg.norm(gradient) * np.linalg.norm(layer.kernel)
    np.testing.assert_allclose(tf.reduce_sum(gradient * layer.kernel, axes) / scale, 0.0, atol=1e-5)
    assert scale > 0.1


def test_kernel_without_spread_is_finite():
    np.testing.assert_array_equal(standardize(tf.ones([1, 1, 1, 3])), np.zeros([1, 1, 1, 3]))
