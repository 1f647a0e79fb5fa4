"""Each measure by a value known without it, by a slow twin, and by what must not change it."""

import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from msbreg_tf.evaluation.clid import clid, cluster_learnability, intrinsic_dimension
from msbreg_tf.evaluation.quality import (
    MEASURES,
    alpha_req,
    lidar,
    measure_quality,
    rankme,
    stable_rank,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def turned(features, seed=1):
    """The same features along other axes."""
    size = features.shape[-1]
    return features @ np.linalg.qr(rng(seed).normal(size=(size, size)))[0]


def entropy_rank(values):
    share = values / values.sum()
    share = share[share > 0]
    return np.exp(-np.sum(share * np.log(share)))


# RankMe and stable rank


def test_ranks_by_hand():
    """Singular values 3, 1 and 0: shares ¾ and ¼; squares 9 and 1."""
    features = np.zeros((5, 3))
    features[:2, 0], features[2, 1] = 3 / np.sqrt(2), 1.0
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert rankme(features) == pytest.approx(expected, rel=1e-4)
    assert stable_rank(features) == pytest.approx(10 / 9)
    even = np.concatenate([np.eye(6)] * 4)
    assert rankme(even) == pytest.approx(6.0, rel=1e-4)
    assert stable_rank(even) == pytest.approx(6.0)
    assert rankme(np.zeros((4, 3))) == stable_rank(np.zeros((4, 3))) == 0.0


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
def test_ranks_against_a_decomposition(shape):
    features = rng().normal(size=shape) * np.arange(1, shape[1] + 1) + 3.0
    values = np.linalg.svd(features, compute_uv=False)
    assert rankme(features) == pytest.approx(entropy_rank(values), rel=1e-4)
    assert stable_rank(features) == pytest.approx(np.sum(values**2) / values[0] ** 2)


def test_ranks_are_of_the_raw_features():
    """Turning and scaling do not matter; an offset and the lengths of the rows do."""
    features = rng().normal(size=(50, 8))
    for rank in (rankme, stable_rank):
        assert rank(7 * turned(features)) == pytest.approx(rank(features))
        assert rank(features + 5) < rank(features) / 1.5
        assert rank(features * np.exp(rng(2).normal(size=(50, 1)))) != pytest.approx(rank(features))


# LiDAR


def views(shape=(60, 4, 5), noise=0.5, seed=0):
    n, _, size = shape
    return rng(seed).normal(size=(n, 1, size)) + noise * rng(seed + 1).normal(size=shape)


def slow_lidar(features, delta):
    n, num_views, size = features.shape
    between, within = np.zeros((size, size)), delta * np.eye(size)
    mean = np.mean([features[i, k] for i in range(n) for k in range(num_views)], axis=0)
    for i in range(n):
        own = features[i].mean(axis=0)
        between += np.outer(own - mean, own - mean) / n
        for k in range(num_views):
            within += np.outer(features[i, k] - own, features[i, k] - own) / (n * num_views)
    root = linalg.inv(linalg.sqrtm(within))
    return entropy_rank(np.maximum(linalg.eigvalsh(root @ between @ root), 0))


@pytest.mark.parametrize("shape", [(60, 4, 5), (30, 2, 12), (4, 3, 9)])
def test_lidar_against_a_slow_twin(shape):
    """At the published δ, at a δ that decides, and with fewer pictures than dimensions."""
    for delta in (1e-4, 10.0):
        features = views(shape)
        expected = slow_lidar(features, delta)
        assert lidar(features, delta=delta) == pytest.approx(expected, rel=2e-4)
    assert lidar(views(shape)) == pytest.approx(slow_lidar(views(shape), 1e-4), rel=2e-4)


def test_lidar_by_hand():
    """Σ_b = diag(4, 1) and Σ_w = diag(4, 1) + δ: both directions tell pictures apart alike."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    pictures, jitter = signs * [2, 1], signs * [2, 1]
    features = pictures[:, np.newaxis] + jitter
    assert lidar(features) == pytest.approx(2.0, rel=1e-4)
    # The second direction has as much noise and no pictures: one is left.
    assert lidar(features - pictures[:, np.newaxis] * [0, 1]) == pytest.approx(1, rel=1e-4)


def test_lidar_does_not_count_what_only_views_differ_in():
    """RankMe counts directions of pure noise, LiDAR does not; and a map of full rank is nothing."""
    pictures = np.zeros((200, 4, 10))
    pictures[..., :3] = rng().normal(size=(200, 1, 3))
    noise = 0.5 * rng(1).normal(size=pictures.shape)
    features = pictures + noise
    flat = features.reshape(-1, 10)
    assert lidar(features) < 5.5
    assert rankme(flat) > 8
    stretched = features @ (np.eye(10) + 0.3 * rng(3).normal(size=(10, 10)))
    assert lidar(stretched, delta=0.0) == pytest.approx(lidar(features, delta=0.0))
    assert lidar(features + 3.0) == pytest.approx(lidar(features))
    with pytest.raises(ValueError, match="K ≥ 2"):
        lidar(features[:, :1])


# α-ReQ


def with_spectrum(values, rows):
    """Centred features whose covariance has these eigenvalues, along random axes."""
    noise = rng().normal(size=(rows, len(values)))
    basis = np.linalg.qr(noise - noise.mean(axis=0))[0]
    return turned(basis * np.sqrt(values))


def test_alpha_is_the_exponent_of_a_power_law():
    for alpha in (0.5, 1.0, 1.8):
        features = with_spectrum(np.arange(1.0, 121.0) ** -alpha, 300)
        assert alpha_req(features) == pytest.approx(alpha, abs=1e-6)
        assert alpha_req(5 * features + 2) == pytest.approx(alpha, abs=1e-6)  # centred here


def test_alpha_is_fitted_over_the_ranks_4_to_100_with_weights_1_over_rank():
    values = np.exp(np.cumsum(-rng(5).uniform(0, 0.1, size=120)))
    spoiled = np.concatenate([[50.0, 20.0, 10.0], values[3:100], np.full(20, 1e-3)])
    found = alpha_req(with_spectrum(spoiled, 400))
    ranks = np.arange(4, 101)
    weights, x, y = 1 / ranks, np.log(ranks), np.log(spoiled[3:100])
    mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
    slope = np.sum(weights * (x - mean_x) * (y - mean_y)) / np.sum(weights * (x - mean_x) ** 2)
    assert found == pytest.approx(-slope, abs=1e-6)
    assert np.isnan(alpha_req(rng().normal(size=(5, 3))))  # there is no fifth eigenvalue
    assert np.isnan(alpha_req(np.ones((50, 30))))


# CLID


def test_intrinsic_dimension_of_known_surfaces():
    """A curve, a plane and a cube of five dimensions, bent or turned in ten."""
    t = rng().uniform(size=(1500, 1))
    curve = np.concatenate([np.cos(3 * t), np.sin(3 * t), t], axis=1)
    assert intrinsic_dimension(curve) == pytest.approx(1.0, abs=0.1)
    for size in (2, 5):
        cube = np.concatenate([rng(1).uniform(size=(1500, size)), np.zeros((1500, 10 - size))], 1)
        assert intrinsic_dimension(turned(cube)) == pytest.approx(size, rel=0.12)


def test_intrinsic_dimension_against_a_slow_twin():
    rows = rng().normal(size=(40, 6)) + 100.0
    total = 0.0
    for i in range(40):
        first, second = sorted(np.linalg.norm(rows[i] - rows[j]) for j in range(40) if j != i)[:2]
        total += np.log(second / first)
    assert intrinsic_dimension(rows) == pytest.approx(40 / total)
    repeated = np.concatenate([rows, rows[:1]])  # two rows without a distance are left out
    assert np.isfinite(intrinsic_dimension(repeated))
    assert np.isnan(intrinsic_dimension(np.ones((9, 4))))
    assert np.isnan(intrinsic_dimension(rows[:2]))


def test_cluster_learnability_of_clear_clusters_and_of_noise():
    centres = 20 * rng().normal(size=(12, 6))
    clear = (centres[:, np.newaxis] + rng(1).normal(size=(12, 12, 6))).reshape(-1, 6)
    assert cluster_learnability(clear) == 1.0
    noise = rng(2).normal(size=(400, 64))
    assert cluster_learnability(noise) < 0.5


def test_cluster_learnability_beside_scikit_learn():
    """Its k-means from other centres, and its nearest neighbour with each row held out."""
    rows = rng(3).normal(size=(300, 3)) * [4, 2, 1]
    labels = KMeans(17, n_init=1, random_state=0).fit_predict(rows)
    right = 0
    for i in range(300):
        others = np.arange(300) != i
        model = KNeighborsClassifier(1).fit(rows[others], labels[others])
        right += int(model.predict(rows[[i]])[0] == labels[i])
    assert cluster_learnability(rows) == pytest.approx(right / 300, abs=0.06)
    assert cluster_learnability(rows) == cluster_learnability(rows)
    assert cluster_learnability(turned(2 * rows)) == cluster_learnability(rows)


def test_clid_standardises_over_the_encoders():
    learnability, dimension = np.array([0.2, 0.4, 0.9]), np.array([30.0, 10.0, 20.0])
    expected = stats.zscore(learnability) + stats.zscore(dimension)
    np.testing.assert_allclose(clid(learnability, dimension), expected)
    np.testing.assert_allclose(clid(10 * learnability, dimension / 3 - 5), expected)
    np.testing.assert_array_equal(clid([0.5, 0.5], [3.0, 3.0]), [0.0, 0.0])


# All of them


def test_every_measure_is_reported_of_the_views_it_is_meant_for():
    features = views((50, 3, 20), seed=4)
    flat = features.reshape(150, 20)
    assert measure_quality(features) == {
        "rankme": rankme(flat),
        "lidar": lidar(features),
        "alpha_req": alpha_req(flat),
        "stable_rank": stable_rank(flat),
        "intrinsic_dimension": intrinsic_dimension(features[:, 0]),
        "cluster_learnability": cluster_learnability(features[:, 0]),
    }
    assert MEASURES["alpha_req"].better(1.1) > MEASURES["alpha_req"].better(0.7)
    features[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 150 features are not finite"):
        measure_quality(features)
