import numpy as np
import pytest
from scipy import integrate, special

from msbreg_tf.evaluation.spectrum import (
    alignment,
    effective_rank,
    judge_collapse,
    measure_geometry,
    singular_values,
    uniformity,
)


def on_sphere(n, d, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def expected_uniformity(d, t=2.0):
    """log E exp(−t ‖x − y‖²) for independent uniform x, y on S^{d−1}.

    ‖x − y‖² = 2 − 2u, and u has density ∝ (1 − u²)^((d−3)/2).
    """

    def weight(u):
        return (1 - u * u) ** ((d - 3) / 2)

    above = integrate.quad(lambda u: weight(u) * np.exp(-t * (2 - 2 * u)), -1, 1)[0]
    return np.log(above / integrate.quad(weight, -1, 1)[0])


@pytest.mark.parametrize("d", [3, 16, 128])
def test_the_integral_agrees_with_the_bessel_form(d):
    """E e^{κu} = Γ(d/2) (2/κ)^{d/2−1} I_{d/2−1}(κ), κ = 2t: the von Mises–Fisher normaliser."""
    order = d / 2 - 1
    log_mean = special.gammaln(d / 2) + order * np.log(2 / 4) + np.log(special.iv(order, 4.0))
    assert expected_uniformity(d) == pytest.approx(log_mean - 4, rel=1e-9)


@pytest.mark.parametrize("d", [3, 16, 128])
def test_uniform_random_points_have_the_known_uniformity(d):
    assert uniformity(on_sphere(3000, d)) == pytest.approx(expected_uniformity(d), abs=0.01)


def test_uniformity_against_a_slow_twin():
    rows = on_sphere(13, 5)
    different = [(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
    mean = np.mean([np.exp(-2 * np.sum((x - y) ** 2)) for x, y in different])
    assert uniformity(rows) == pytest.approx(np.log(mean), rel=1e-12)


@pytest.mark.parametrize("block", [1, 4, 13, 50])
def test_uniformity_does_not_depend_on_the_block(block):
    rows = on_sphere(13, 5)
    assert uniformity(rows, block=block) == pytest.approx(uniformity(rows), rel=1e-12)


def test_uniformity_of_two_points_by_hand():
    assert uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-2 * 4)
    assert uniformity(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(-2 * 2)


def test_alignment_by_hand():
    first = np.array([[1.0, 0.0], [1.0, 0.0]])
    second = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert alignment(first, second) == pytest.approx((2 + 0) / 2)
    assert alignment(first, -first) == pytest.approx(4)


def test_singular_values_against_numpy_and_their_squares_sum_to_one():
    rows = np.random.default_rng(0).normal(size=(50, 2, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    values = singular_values(rows)
    expected = np.linalg.svd(rows.reshape(100, 8) / 10, compute_uv=False)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert np.sum(values**2) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5] * 4, 4.0), ([1.0, 0.0, 0.0], 1.0), ([2.0, 2.0, 0.0], 2.0), ([0.0, 0.0], 0.0)],
)
def test_effective_rank_known_values(values, expected):
    assert effective_rank(np.array(values)) == pytest.approx(expected, rel=1e-6)


def test_measures_agree_with_numpy_on_scaled_float32_features():
    rng = np.random.default_rng(1)
    first = rng.normal(size=(40, 6)).astype(np.float32)
    second = first + 0.3 * rng.normal(size=(40, 6)).astype(np.float32)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    cloud = np.concatenate([u, v])
    found = measure_geometry(100 * first, second, block=7)  # lengths must not matter
    assert found.alignment == pytest.approx(np.mean(np.sum((u - v) ** 2, axis=1)), rel=1e-5)
    assert found.uniformity == pytest.approx((uniformity(u) + uniformity(v)) / 2, rel=1e-5)
    assert found.spread == pytest.approx(1 - np.sum(cloud.mean(axis=0) ** 2), rel=1e-5)
    np.testing.assert_allclose(found.std, cloud.std(axis=0), rtol=1e-4)
    expected = np.linalg.svd((cloud - cloud.mean(axis=0)) / np.sqrt(80), compute_uv=False)
    np.testing.assert_allclose(found.centred_singular_values, expected, rtol=1e-4)
    assert np.sum(found.singular_values**2) == pytest.approx(1)
    assert np.sum(found.centred_singular_values**2) == pytest.approx(found.spread)


def pairs(cloud, noise=0.0, seed=5):
    rng = np.random.default_rng(seed)
    return [cloud + noise * rng.normal(size=cloud.shape) for _ in range(2)]


def test_a_uniform_cloud_has_not_collapsed():
    found = measure_geometry(*pairs(on_sphere(500, 64), noise=0.01))
    assert found.verdict == "none"
    assert found.centred_effective_rank > 60
    np.testing.assert_allclose(found.std, 1 / 8, rtol=0.2)


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_one_point_is_complete_collapse(noise):
    found = measure_geometry(*pairs(np.tile(on_sphere(1, 64), (200, 1)), noise))
    assert found.verdict == "complete"
    assert found.uniformity == pytest.approx(0, abs=1e-4)
    assert "below 0.0002" in found.reason


def test_features_of_all_zeros_are_complete_collapse():
    found = measure_geometry(np.zeros([20, 8]), np.zeros([20, 8]))
    assert (found.verdict, found.effective_rank, found.uniformity) == ("complete", 0.0, 0.0)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_three_of_64_dimensions_are_dimensional_collapse(offset):
    """With a common offset too, though the raw spectrum then looks like that of a single point."""
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(64, 4)))[0].T
    cloud = on_sphere(500, 3) @ basis[:3] + offset * basis[3]
    found = measure_geometry(*pairs(cloud, noise=1e-5))
    assert found.verdict == "dimensional"
    assert found.centred_effective_rank == pytest.approx(3, abs=0.3)
    assert "of 64 possible" in found.reason
    assert "below 10 %" in found.reason


def test_few_images_are_not_taken_for_few_dimensions():
    found = measure_geometry(*pairs(on_sphere(5, 512), noise=1e-3))
    assert found.verdict == "none"
    assert "of 9 possible" in found.reason  # ten features; their mean costs one


def test_a_cone_as_narrow_as_an_untrained_networks_is_no_collapse():
    """An untrained ResNet-50 has spread 0.0026 on CIFAR-10 images."""
    centre = 20 * on_sphere(1, 128)
    found = measure_geometry(*pairs(centre + on_sphere(500, 128), noise=0.01))
    assert found.spread == pytest.approx(0.0026, rel=0.2)
    assert found.verdict == "none"


@pytest.mark.parametrize(
    ("spread", "rank", "expected"),
    [(1.99e-4, 60, "complete"), (2e-4, 60, "none"), (0.5, 6.3, "dimensional"), (0.5, 6.4, "none")],
)
def test_thresholds(spread, rank, expected):
    assert judge_collapse(spread, rank, 64)[0] == expected


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones([3, 4]), np.ones([3, 5]), "expected two equal"),
        (np.ones([1, 4]), np.ones([1, 4]), "at least two"),
        (np.full([3, 4], np.nan), np.ones([3, 4]), "3 of 3 features are not finite"),
    ],
)
def test_bad_features_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        measure_geometry(first, second)
