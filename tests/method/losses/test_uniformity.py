import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method.losses import uniformity
from msbreg_tf.method.losses.uniformity import uniformity_loss


def slow_loss(p, t):
    pairs = [
        np.exp(-t * np.sum((p[i] - p[j]) ** 2))
        for i in range(len(p))
        for j in range(len(p))
        if i != j
    ]
    return np.log(np.mean(pairs))


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_equals_slow_twin(unit, t):
    p = unit(12, 5)
    loss = uniformity_loss(p, t)
    assert loss.shape == ()
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(slow_loss(p.astype(np.float64), t), rel=1e-5)


def test_hand_values(unit):
    opposite = [[1.0, 0.0], [-1.0, 0.0]]
    assert float(uniformity_loss(opposite)) == pytest.approx(-8.0)  # −2 · 2²
    square = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    expected = np.log((2 * np.exp(-4) + np.exp(-8)) / 3)
    assert float(uniformity_loss(square)) == pytest.approx(expected, rel=1e-6)
    assert float(uniformity_loss(np.tile(unit(1, 9), (6, 1)))) == pytest.approx(0.0, abs=1e-5)


def test_random_points_on_the_sphere_reach_its_integral(unit):
    """On S² the cosine is uniform: E exp(−2t + 2t cos) = (1 − exp(−4t)) / (4t)."""
    expected = np.log((1 - np.exp(-8)) / 8)
    assert float(uniformity_loss(unit(2000, 3))) == pytest.approx(expected, abs=0.02)


def test_invariances(unit, rotation):
    p = unit(20, 6)
    expected = pytest.approx(float(uniformity_loss(p)), rel=1e-5)
    assert float(uniformity_loss(p @ rotation(6))) == expected
    assert float(uniformity_loss(p[::-1])) == expected
    assert float(uniformity_loss(np.concatenate([p, p]))) > float(uniformity_loss(p))


@pytest.mark.parametrize("spec", [[7, 4], [None, 4]])
def test_gradient_equals_numerical(unit, spec):
    p = unit(7, 4)
    step, expected = 1e-6, np.zeros(p.shape)
    for index in np.ndindex(*p.shape):
        nudge = np.zeros(p.shape)
        nudge[index] = step
        expected[index] = (slow_loss(p + nudge, 2.0) - slow_loss(p - nudge, 2.0)) / (2 * step)
    traced = tf.function(uniformity_loss, input_signature=[tf.TensorSpec(spec, tf.float32)])
    tensor = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = traced(tensor)
    np.testing.assert_allclose(tape.gradient(value, tensor), expected, atol=1e-4)


@pytest.mark.parametrize("block", [1, 3, 4, 7, 20])
def test_blocks_do_not_matter(unit, monkeypatch, block):
    p = tf.constant(unit(7, 4))

    def value_and_gradient():
        with tf.GradientTape() as tape:
            tape.watch(p)
            loss = uniformity_loss(p)
        return loss, tape.gradient(loss, p)

    whole = value_and_gradient()
    monkeypatch.setattr(uniformity, "_BLOCK", block)
    for ours, expected in zip(value_and_gradient(), whole):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_finite_where_a_plain_logarithm_underflows():
    far = [[1.0, 0.0], [-1.0, 0.0]]  # exp(−400) is 0 in float32
    assert float(uniformity_loss(far, t=100.0)) == pytest.approx(-400.0)


def test_gradient_of_a_collapsed_batch_is_finite_and_nan_shows(unit):
    p = tf.constant(np.tile(unit(1, 4), (6, 1)))
    with tf.GradientTape() as tape:
        tape.watch(p)
        loss = uniformity_loss(p)
    np.testing.assert_allclose(tape.gradient(loss, p), 0.0, atol=1e-5)
    broken = unit(6, 4)
    broken[3, 1] = np.nan
    assert np.isnan(uniformity_loss(broken))


def test_sixteen_bits_are_computed_in_float32(unit):
    p = tf.cast(unit(12, 5), tf.bfloat16)
    loss = uniformity_loss(p)
    assert loss.dtype == tf.float32
    assert float(loss) == float(uniformity_loss(tf.cast(p, tf.float32)))


def test_user_errors(unit):
    with pytest.raises(ValueError, match="at least 2"):
        uniformity_loss(unit(1, 4))
    with pytest.raises(ValueError, match=r"\[M, D\]"):
        uniformity_loss(unit(3, 2, 4))
