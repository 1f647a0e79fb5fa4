import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method.losses.singular_value import (
    coding_rate,
    nuclear_norm,
    singular_value_loss,
)

FORMS = ["values", "squares", "log_det"]
SHAPES = [(40, 6), (6, 6), (3, 8)]  # M > D, M = D, M < D


def slow_loss(p, form, epsilon2=0.2):
    num_rows, size = p.shape
    sigma = np.zeros(size)
    found = np.linalg.svd(np.asarray(p, np.float64) / np.sqrt(num_rows), compute_uv=False)
    sigma[: len(found)] = found
    if form == "values":
        return sum((np.sqrt(size) * s - 1) ** 2 for s in sigma)
    if form == "squares":
        return sum((size * s**2 - 1) ** 2 for s in sigma)
    return sum(np.log((1 + 1 / epsilon2) / (1 + size * s**2 / epsilon2)) / 2 for s in sigma)


def gradient(function, p):
    p = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = function(p)
    return tape.gradient(value, p).numpy()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_slow_twin(unit, shape, form):
    p = unit(*shape)
    loss = singular_value_loss(p, form)
    assert loss.shape == ()
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(slow_loss(p, form), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_equals_slow_twin_away_from_the_sphere(unit, form):
    p = 1.7 * unit(20, 6)
    assert float(singular_value_loss(p, form)) == pytest.approx(slow_loss(p, form), rel=1e-5)


def test_values_has_the_closed_form_of_unit_rows(unit):
    p = unit(30, 9)
    sigma = np.linalg.svd(p / np.sqrt(30), compute_uv=False)
    expected = 2 * 9 - 2 * np.sqrt(9) * sigma.sum()
    assert float(singular_value_loss(p)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_hand_values(unit, form):
    size = 16
    spread = np.tile(np.eye(size, dtype=np.float32), (3, 1))
    collapsed = np.tile(unit(1, size), (50, 1))
    worst = {
        "values": 2 * (size - np.sqrt(size)),
        "squares": size * (size - 1),
        "log_det": 8 * np.log(6) - np.log(81) / 2,  # ε² = 0.2: 1 + 1/ε² = 6, 1 + 16/ε² = 81
    }[form]
    assert float(singular_value_loss(spread, form)) == pytest.approx(0.0, abs=1e-5)
    assert float(singular_value_loss(collapsed, form)) == pytest.approx(worst, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_invariances(unit, rotation, form):
    p = unit(30, 8)
    expected = pytest.approx(float(singular_value_loss(p, form)), rel=1e-4)
    assert float(singular_value_loss(p @ rotation(8), form)) == expected
    assert float(singular_value_loss(rotation(30) @ p, form)) == expected
    assert float(singular_value_loss(p[::-1], form)) == expected
    assert float(singular_value_loss(np.tile(p, (2, 1)), form)) == expected


def test_log_det_by_hand():
    """Two directions, three rows of four on the first: ½ log det(I + 2/(4ε²) diag(3, 1))."""
    p = np.array([[1, 0], [1, 0], [-1, 0], [0, 1]], np.float32)
    for epsilon2 in (0.2, 0.5, 3.0):
        rate = np.log((1 + 3 / (2 * epsilon2)) * (1 + 1 / (2 * epsilon2))) / 2
        found = float(singular_value_loss(p, "log_det", epsilon2))
        assert found == pytest.approx(np.log(1 + 1 / epsilon2) - rate, rel=1e-5)
        scaled = tf.constant(p * np.sqrt(2 / 4).astype(np.float32))
        assert float(coding_rate(scaled, epsilon2)) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_coding_rate_is_the_log_determinant(unit, shape):
    """By NumPy's own determinant of the large or of the small matrix, and a small ε²."""
    p = 1.3 * unit(*shape)
    for epsilon2 in (1e-4, 0.2, 30.0):
        a = p.astype(np.float64)
        _, expected = np.linalg.slogdet(np.eye(shape[1]) + a.T @ a / epsilon2)
        assert float(coding_rate(p, epsilon2)) == pytest.approx(expected / 2, rel=1e-6)
        found = gradient(lambda p, e=epsilon2: 3.0 * coding_rate(p, e), p)
        inverse = np.linalg.inv(epsilon2 * np.eye(shape[1]) + a.T @ a)
        np.testing.assert_allclose(found, 3 * a @ inverse, rtol=1e-4, atol=1e-4)


def test_near_the_perfect_spread_the_forms_differ_by_a_factor(unit):
    """squares ≈ 4 · values ≈ 4 (1 + ε²)² · log_det, to first order in the distance."""
    size = 8
    rows = np.tile(np.eye(size), (40, 1)) + 0.02 * np.random.default_rng(0).normal(size=(320, size))
    p = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values, squares = slow_loss(p, "values"), slow_loss(p, "squares")
    assert 0 < squares < 0.05
    assert squares == pytest.approx(4 * values, rel=0.05)
    found = singular_value_loss(p, "log_det", 0.5)
    assert squares == pytest.approx(4 * 1.5**2 * float(found), rel=0.05)


def test_is_no_mean_over_samples():
    """Each half collapsed, on its own axis: the whole is spread, the mean of halves is not."""
    halves = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    assert float(singular_value_loss(halves)) == pytest.approx(0.0, abs=1e-6)
    assert float(singular_value_loss(halves[:5])) == pytest.approx(4 - 2 * np.sqrt(2), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_equals_numerical(unit, shape, form):
    p = unit(*shape)
    step, expected = 1e-6, np.zeros(shape)
    for index in np.ndindex(*shape):
        nudge = np.zeros(shape)
        nudge[index] = step
        up, down = slow_loss(p + nudge, form), slow_loss(p - nudge, form)
        expected[index] = (up - down) / (2 * step)
    found = gradient(tf.function(lambda p: singular_value_loss(p, form)), p)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_nuclear_norm_gradient_is_the_polar_factor(unit, shape):
    p = unit(*shape)
    u, s, vt = np.linalg.svd(p.astype(np.float64), full_matrices=False)
    assert float(nuclear_norm(p)) == pytest.approx(s.sum(), rel=1e-6)
    np.testing.assert_allclose(gradient(nuclear_norm, p), u @ vt, atol=1e-5)
    upstream = gradient(lambda p: 3.0 * nuclear_norm(p), p)
    np.testing.assert_allclose(upstream, 3 * (u @ vt), atol=1e-5)


def test_nearly_collapsed_batch_is_still_pushed_the_right_way(unit):
    """Spread of 1e-4 about one point, whose squares float32 cannot hold beside 1."""
    noise = np.random.default_rng(3).normal(size=(60, 8))
    p = (unit(1, 8) + 1e-4 * noise).astype(np.float32)
    u, s, vt = np.linalg.svd(p.astype(np.float64), full_matrices=False)
    assert float(nuclear_norm(p)) == pytest.approx(s.sum(), rel=1e-6)
    np.testing.assert_allclose(gradient(nuclear_norm, p), u @ vt, atol=1e-4)


def test_gradient_of_degenerate_batches(unit):
    point = unit(1, 8)
    collapsed = np.tile(point, (5, 1))
    np.testing.assert_allclose(gradient(nuclear_norm, collapsed), collapsed / 5**0.5, atol=1e-6)
    perfect = np.eye(8, dtype=np.float32)  # equal singular values
    np.testing.assert_allclose(gradient(nuclear_norm, perfect), perfect, atol=1e-6)
    nothing = np.zeros((5, 8), np.float32)
    np.testing.assert_array_equal(gradient(nuclear_norm, nothing), nothing)
    repeated = np.tile(unit(2, 8), (2, 1))  # M < D and rank 2
    u, _, vt = np.linalg.svd(repeated.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(gradient(nuclear_norm, repeated), u[:, :2] @ vt[:2], atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_is_nan_out(unit, shape, form, bad):
    p = unit(*shape)
    p[1, 2] = bad
    assert not np.isfinite(singular_value_loss(p, form))
    assert np.isnan(gradient(lambda p: singular_value_loss(p, form), p)).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_unknown_number_of_rows(unit, shape, form):
    p = unit(*shape)
    spec = tf.TensorSpec([None, shape[1]], tf.float32)
    traced = tf.function(lambda p: singular_value_loss(p, form), input_signature=[spec])
    assert float(traced(p)) == pytest.approx(float(singular_value_loss(p, form)), rel=1e-5)
    known = gradient(lambda p: singular_value_loss(p, form), p)
    np.testing.assert_allclose(gradient(traced, p), known, atol=1e-5)


def test_sixteen_bits_are_computed_in_float32(unit):
    p = tf.cast(unit(20, 6), tf.bfloat16)
    for form in FORMS:
        loss = singular_value_loss(p, form)
        assert loss.dtype == tf.float32
        assert float(loss) == float(singular_value_loss(tf.cast(p, tf.float32), form))


def test_user_errors(unit):
    with pytest.raises(ValueError, match=r"^form=cubes: expected one of values, squares, log_det"):
        singular_value_loss(unit(5, 4), "cubes")
    with pytest.raises(ValueError, match=r"\[M, D\]"):
        singular_value_loss(unit(5, 2, 4))
