import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.method.losses.centroid import CENTROIDS, multiview_centroid_loss
from msbreg_tf.method.losses.next_view import next_view_loss

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def slow_centroid(p, z, centroid):
    total = 0.0
    for i in range(p.shape[0]):
        for k in range(p.shape[1]):
            everyone = centroid in ("all", "unit")
            goal = np.mean([z[i, j] for j in range(p.shape[1]) if everyone or j != k], axis=0)
            if centroid.startswith("unit"):
                total += 2 - 2 * p[i, k] @ goal / np.sqrt(goal @ goal)
            else:
                total += np.sum((p[i, k] - goal) ** 2)
    return total / (p.shape[0] * p.shape[1])


@pytest.mark.parametrize(
    ("centroid", "expected"),
    # others: p_k meets (N+W)/2, (E+W)/2 = 0, (E+N)/2; all: p_k meets (0, 1/3) three times.
    # unit: north three times, at a right angle; of others, north-west (135°), nothing, north-east.
    [
        ("others", (2.5 + 1.0 + 0.5) / 3),
        ("all", 10 / 9),
        ("unit", 2.0),
        ("unit_others", ((2 + 2**0.5) + 1.0 + (2 - 2**0.5)) / 3),
    ],
)
def test_hand_values(centroid, expected):
    p, z = [[EAST, EAST, EAST]], [[EAST, NORTH, WEST]]
    assert float(multiview_centroid_loss(p, z, centroid)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("centroid", CENTROIDS)
@pytest.mark.parametrize("num_views", [2, 5])
def test_equals_slow_twin(unit, centroid, num_views):
    p, z = unit(4, num_views, 6), unit(4, num_views, 6, seed=1)
    loss = multiview_centroid_loss(p, z, centroid)
    assert loss.shape == ()
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(slow_centroid(p, z, centroid), rel=1e-5)


def test_two_views_are_half_of_byol(unit):
    p, z = unit(7, 2, 16), unit(7, 2, 16, seed=1)
    one_way = 2 - 2 * np.sum(p[:, 0] * z[:, 1], axis=-1)
    other_way = 2 - 2 * np.sum(p[:, 1] * z[:, 0], axis=-1)
    byol = np.mean(one_way + other_way)
    for centroid in ("others", "unit_others"):
        assert float(multiview_centroid_loss(p, z, centroid)) == pytest.approx(byol / 2, rel=1e-6)
    assert float(next_view_loss(p, z)) == pytest.approx(byol / 2, rel=1e-6)


@pytest.mark.parametrize("centroid", CENTROIDS)
def test_invariances(unit, rotation, centroid):
    p, z, turn = unit(5, 4, 6), unit(5, 4, 6, seed=1), rotation(6)
    images, views = [3, 0, 4, 1, 2], [2, 0, 3, 1]
    expected = pytest.approx(float(multiview_centroid_loss(p, z, centroid)), rel=1e-5)
    assert float(multiview_centroid_loss(p @ turn, z @ turn, centroid)) == expected
    assert float(multiview_centroid_loss(p[images], z[images], centroid)) == expected
    assert float(multiview_centroid_loss(p[:, views], z[:, views], centroid)) == expected
    # Only `others` knows which target is whose.
    unpaired = float(multiview_centroid_loss(p, z[:, views], centroid))
    assert (unpaired == expected) == (centroid in ("all", "unit"))


@pytest.mark.parametrize(("unit_form", "mean_form"), [("unit", "all"), ("unit_others", "others")])
def test_a_unit_centroid_pulls_the_same_way_more_strongly(unit, unit_form, mean_form):
    """On the sphere, by 1/‖mean‖; against finite differences, too."""
    x, z = unit(2, 3, 5) * 1.7, unit(2, 3, 5, seed=1)

    def on_sphere(form, where):
        return multiview_centroid_loss(tf.math.l2_normalize(where, axis=-1), z, form)

    found = {}
    for form in (unit_form, mean_form):
        variable = tf.Variable(x)
        with tf.GradientTape() as tape:
            value = on_sphere(form, variable)
        found[form] = tape.gradient(value, variable).numpy()
    mean = z.mean(axis=1, keepdims=True)
    if mean_form == "others":
        mean = (z.sum(axis=1, keepdims=True) - z) / 2
    norms = np.linalg.norm(mean, axis=-1, keepdims=True)
    assert norms.max() < 0.95
    np.testing.assert_allclose(found[unit_form] * norms, found[mean_form], atol=1e-6)
    expected, step = np.zeros_like(x, np.float64), 1e-6
    for index in np.ndindex(*x.shape):
        sides = []
        for sign in (1, -1):
            moved = x.astype(np.float64)
            moved[index] += sign * step
            moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
            sides.append(slow_centroid(moved, z.astype(np.float64), unit_form))
        expected[index] = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(found[unit_form], expected, atol=1e-5)


def test_views_that_cancel_have_no_direction():
    """Targets of sum zero: the centroid stays zero instead of becoming noise or NaN."""
    p, z = tf.Variable([[EAST, NORTH]]), [[EAST, WEST]]
    with tf.GradientTape() as tape:
        value = multiview_centroid_loss(p, z, "unit")
    assert float(value) == pytest.approx(1.0)
    assert np.isfinite(tape.gradient(value, p)).all()


@pytest.mark.parametrize("loss", [multiview_centroid_loss, next_view_loss])
def test_gradient_reaches_p_and_never_z(unit, loss):
    p, z = tf.Variable(unit(3, 4, 6)), tf.Variable(unit(3, 4, 6, seed=1))
    with tf.GradientTape() as tape:
        value = loss(p, z)
    to_p, to_z = tape.gradient(value, [p, z])
    assert to_z is None
    target = z.numpy()
    if loss is next_view_loss:
        centres = np.roll(target, -1, axis=1)
    else:
        centres = (target.sum(axis=1, keepdims=True) - target) / 3
    np.testing.assert_allclose(to_p, 2 * (p.numpy() - centres) / 12, atol=1e-6)


@pytest.mark.parametrize("loss", [multiview_centroid_loss, next_view_loss])
def test_equal_views_have_no_loss_and_nan_shows(unit, loss):
    p = np.repeat(unit(5, 1, 6), 3, axis=1)
    assert float(loss(p, p)) == pytest.approx(0.0, abs=1e-12)
    p[2, 1, 0] = np.nan
    assert np.isnan(loss(p, p))


@pytest.mark.parametrize("loss", [multiview_centroid_loss, next_view_loss])
def test_sixteen_bits_are_computed_in_float32(unit, loss):
    p, z = (tf.cast(unit(4, 3, 64, seed=s), tf.bfloat16) for s in (0, 1))
    value = loss(p, z)
    assert value.dtype == tf.float32
    expected = float(loss(tf.cast(p, tf.float32), tf.cast(z, tf.float32)))
    assert float(value) == expected


def test_next_view_follows_the_cycle():
    z = [[EAST, NORTH, WEST]]
    chasing_the_next = [[NORTH, WEST, EAST]]
    assert float(next_view_loss(chasing_the_next, z)) == 0.0
    assert float(next_view_loss(z, z)) == pytest.approx((2 + 2 + 4) / 3)


def test_one_view_with_all_is_its_own_target(unit):
    p, z = unit(3, 1, 6), unit(3, 1, 6, seed=1)
    expected = np.mean(np.sum((p - z) ** 2, axis=-1))
    assert float(multiview_centroid_loss(p, z, "all")) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [multiview_centroid_loss, next_view_loss])
def test_user_errors(unit, loss):
    with pytest.raises(ValueError, match="at least 2"):
        loss(unit(3, 1, 6), unit(3, 1, 6))
    with pytest.raises(ValueError, match=r"\[B, K, D\]"):
        loss(unit(3, 6), unit(3, 6))
    with pytest.raises(ValueError, match="that of p"):
        loss(unit(3, 2, 6), unit(3, 2, 1))
    with pytest.raises(ValueError, match=r"^centroid=mean"):
        multiview_centroid_loss(unit(3, 2, 6), unit(3, 2, 6), "mean")
