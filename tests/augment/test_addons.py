"""Our image operations beside tensorflow-addons', which others wrote and use.

It is part of the classic stack only; on the current one these tests are skipped by name.
"""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment.resample import apply_to_rows_and_columns, blur_radius, resample_matrices

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it announces its end of life
    addons = pytest.importorskip("tensorflow_addons", reason="only on the classic stack")

SIDE = 64


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, [2, 9, 9, 3]).astype(np.float32)
    return tf.image.resize(coarse, [SIDE, SIDE], "bicubic")


def blurred(images, sigma):
    """The whole image at its own size, blurred by our matrices: [B, S, S, 3]."""
    whole = tf.zeros([2, 1]), tf.fill([2, 1], float(SIDE))
    matrices = resample_matrices(*whole, SIDE, SIDE, tf.fill([2, 1], sigma))
    lines = apply_to_rows_and_columns(images, matrices, matrices)  # [B, 1, S, C, S]
    return tf.transpose(lines[:, 0], [0, 1, 3, 2])


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_the_blur_is_its_gaussian_filter(images, sigma):
    """With edges mirrored, and a kernel as wide as ours."""
    width = 2 * blur_radius(SIDE) + 1
    expected = addons.image.gaussian_filter2d(
        images, filter_shape=width, sigma=sigma, padding="REFLECT"
    )
    np.testing.assert_allclose(blurred(images, sigma), expected, atol=0.02)
    if sigma > 0.5:
        assert np.abs(expected - images).mean() > 1
