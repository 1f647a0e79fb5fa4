import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method import lars

ETA, BETA = 0.001, 0.1


def adapt(gradient, weight):
    weight = tf.Variable(weight, dtype=tf.float32)
    (new,), ratios = lars.adapt(
        [tf.constant(gradient, tf.float32)], [weight], trust_coefficient=ETA, weight_decay=BETA
    )
    return new.numpy(), [float(r) for r in ratios]


def test_hand_computed_kernel():
    # w = [3, 4]: ‖w‖ = 5; g + βw = [0.3 + 0.3, 0.4 + 0.4] = [0.6, 0.8]: norm 1; ratio = η·5.
    new, ratios = adapt([[0.3, 0.4]], [[3.0, 4.0]])
    assert ratios == [pytest.approx(0.005)]
    np.testing.assert_allclose(new, [[0.6 * 0.005, 0.8 * 0.005]], rtol=1e-6)


def test_biases_are_neither_decayed_nor_adapted():
    new, ratios = adapt([1.0, 2.0], [3.0, 4.0])
    assert ratios == []
    np.testing.assert_array_equal(new, [1.0, 2.0])


@pytest.mark.parametrize(("gradient", "weight"), [(0.0, 0.0), (1.0, 0.0)])
def test_zero_norms_mean_ratio_one(gradient, weight):
    new, ratios = adapt(np.full((2, 2), gradient), np.full((2, 2), weight))
    assert ratios == [1.0]
    np.testing.assert_allclose(new, np.full((2, 2), gradient))


def test_zero_gradient_of_a_decayed_kernel_still_decays():
    new, _ = adapt(np.zeros((2, 2)), np.ones((2, 2)))
    np.testing.assert_allclose(new, np.full((2, 2), ETA), rtol=1e-6)


def test_scale_of_the_gradient_cancels_without_decay():
    weight = tf.Variable(tf.random.normal([3, 4]))
    gradient = tf.random.normal([3, 4])
    small, large = (
        lars.adapt([scale * gradient], [weight], trust_coefficient=ETA, weight_decay=0.0)[0][0]
        for scale in (1.0, 1000.0)
    )
    np.testing.assert_allclose(small, large, rtol=1e-5)
