import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method.losses.brownian import brownian_diffusive_loss, brownian_directions

SEED = tf.constant([11, 5])


def test_equals_slow_twin_with_one_direction_per_image(unit):
    p = unit(5, 3, 7)
    n = brownian_directions(SEED, 5, 7).numpy()
    expected = np.mean([p[i, k] @ n[i] for i in range(5) for k in range(3)])
    loss = brownian_diffusive_loss(p, SEED)
    assert loss.shape == ()
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_hand_value_at_its_own_directions():
    n = brownian_directions(SEED, 6, 9)[:, tf.newaxis]
    both_ways = tf.concat([n, n, -n], axis=1)
    assert float(brownian_diffusive_loss(both_ways, SEED)) == pytest.approx(1 / 3, rel=1e-5)


def test_gradient_is_the_direction(unit):
    p = tf.Variable(unit(5, 3, 7))
    with tf.GradientTape() as tape:
        loss = brownian_diffusive_loss(p, SEED)
    n = brownian_directions(SEED, 5, 7).numpy()
    expected = np.repeat(n[:, np.newaxis] / 15, 3, axis=1)
    np.testing.assert_allclose(tape.gradient(loss, p), expected, atol=1e-7)


def test_view_order_does_not_matter_and_image_order_does(unit):
    p = unit(5, 3, 7)
    expected = pytest.approx(float(brownian_diffusive_loss(p, SEED)), abs=1e-6)
    assert float(brownian_diffusive_loss(p[:, [2, 0, 1]], SEED)) == expected
    assert float(brownian_diffusive_loss(p[::-1], SEED)) != expected


@pytest.mark.parametrize("size", [2, 3, 8, 13])
def test_direction_is_a_function_of_seed_and_image_alone(size):
    whole = brownian_directions(SEED, 12, size).numpy()
    assert whole.shape == (12, size)
    for first, count in [(0, 5), (5, 7), (11, 1)]:
        part = brownian_directions(SEED, count, size, first)
        # Not bit for bit: vectorised and scalar cosines differ in the last place.
        np.testing.assert_allclose(part, whole[first : first + count], atol=1e-6)
        traced = tf.function(brownian_directions)(
            SEED, tf.constant(count), size, tf.constant(first)
        )
        np.testing.assert_allclose(traced, whole[first : first + count], atol=1e-6)


def test_xla_draws_the_same():
    compiled = tf.function(lambda: brownian_directions(SEED, 4, 6, 3), jit_compile=True)()
    np.testing.assert_allclose(compiled, brownian_directions(SEED, 7, 6)[3:], atol=1e-5)


def test_two_replicas_are_one(unit):
    p = unit(8, 2, 7)
    halves = [brownian_diffusive_loss(p[i : i + 4], SEED, i) for i in (0, 4)]
    whole = float(brownian_diffusive_loss(p, SEED))
    assert float(sum(halves)) / 2 == pytest.approx(whole, abs=1e-6)
    assert float(brownian_diffusive_loss(p[4:], SEED)) != pytest.approx(float(halves[1]), abs=1e-3)


def test_seed_decides():
    first = brownian_directions(SEED, 50, 8).numpy()
    np.testing.assert_array_equal(brownian_directions(SEED, 50, 8), first)
    for other in ([11, 6], [12, 5], [5, 11]):
        cosine = np.sum(first * brownian_directions(tf.constant(other), 50, 8).numpy(), axis=1)
        assert np.abs(cosine).max() < 0.999
        assert abs(cosine.mean()) < 0.2


@pytest.mark.parametrize("size", [2, 3, 10])
def test_uniform_on_the_sphere(size):
    count = 40_000
    n = brownian_directions(SEED, count, size).numpy().astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(n, axis=1), 1.0, atol=1e-5)
    error = 5 / np.sqrt(count)  # five standard errors of a quantity within ±1
    np.testing.assert_allclose(n.mean(axis=0), 0.0, atol=error)
    np.testing.assert_allclose(n.T @ n / count, np.eye(size) / size, atol=error)
    # E n_j⁴ = 3 / (D (D + 2)) tells a sphere from, say, normalised corners of a cube.
    np.testing.assert_allclose((n**4).mean(axis=0), 3 / (size * (size + 2)), atol=error)
    neighbours = np.sum(n[1:] * n[:-1], axis=1)
    assert abs(neighbours.mean()) < error


def test_expectation_is_zero(unit):
    p = unit(4, 2, 8)
    draws = [float(brownian_diffusive_loss(p, tf.constant([0, step]))) for step in range(400)]
    assert np.std(draws) > 0.05
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(400)


def test_degenerate_input(unit):
    p = unit(1, 1, 4)
    n = brownian_directions(SEED, 1, 4).numpy()
    assert float(brownian_diffusive_loss(p, SEED)) == pytest.approx(np.sum(p * n), abs=1e-6)
    p[0, 0, 1] = np.nan
    assert np.isnan(brownian_diffusive_loss(p, SEED))
    with pytest.raises(ValueError, match=r"\[B, K, D\]"):
        brownian_diffusive_loss(unit(3, 4), SEED)


def test_sixteen_bits_are_computed_in_float32(unit):
    p = tf.cast(unit(4, 3, 64), tf.bfloat16)
    loss = brownian_diffusive_loss(p, SEED)
    assert loss.dtype == tf.float32
    assert float(loss) == float(brownian_diffusive_loss(tf.cast(p, tf.float32), SEED))
