import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment import resample as geometry
from msbreg_tf.augment.operations.crop import crop_boxes
from msbreg_tf.augment.operations.table import columns, num_draws, uniforms_of
from msbreg_tf.augment.settings import AugmentSettings

from . import twin

AREA, MAX_RATIO = (0.08, 1.0), 4 / 3


def boxes_of(draws, height, width, area=AREA, max_ratio=MAX_RATIO):
    settings = AugmentSettings(
        crop_area_min=area[0], crop_area_max=area[1], crop_ratio_max=max_ratio
    )
    uniforms = uniforms_of("crop", tf.constant(draws))
    boxes = crop_boxes(settings, uniforms, tf.constant(float(height)), tf.constant(float(width)))
    return np.stack([part.numpy() for part in boxes], axis=-1)  # [B, K, 4]


@pytest.fixture(scope="module")
def draws():
    return np.random.default_rng(0).random([3000, 2, num_draws()], np.float32)


@pytest.mark.parametrize("size", [(96, 96), (50, 70), (333, 500)])
def test_crop_boxes_are_torchvisions(draws, size):
    boxes = boxes_of(draws[:300], *size)
    expected = [[twin.crop_box(row, *size) for row in rows] for rows in draws[:300].astype(float)]
    agree = np.all(boxes == np.array(expected), axis=-1)
    # A float32 may fall on the other side of a rounding of float64; seldom.
    assert agree.mean() > 0.99


@pytest.mark.parametrize(
    ("size", "expected"),
    [((20, 100), (0, 36, 20, 27)), ((100, 20), (36, 0, 27, 20)), ((24, 30), (0, 0, 24, 30))],
)
def test_central_crop_when_no_proposal_fits(size, expected):
    # The whole area at ratio 4/3 or 3/4 fits into none of these.
    draws = np.ones([1, 2, num_draws()], np.float32) * 0.999
    draws[:, 1, columns()["crop"]][..., 10:20] = 0  # the ratios
    np.testing.assert_array_equal(boxes_of(draws, *size), [[expected, expected]])


def test_statistics_of_crops(draws):
    top, left, height, width = np.moveaxis(boxes_of(draws, 400, 400), -1, 0)
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 400
    area, ratio = height * width / 400**2, np.log(width / height)
    assert area.min() < 0.085
    assert area.max() > 0.99
    # An area a > ¾ is accepted with probability −log a / log 4/3, which integrates to this mean.
    assert abs(area.mean() - 0.478) < 0.012
    assert abs(ratio).max() <= np.log(4 / 3) + 0.02
    assert abs(ratio.mean()) < 0.01
    small = area < 0.5  # where no ratio is ever rejected
    assert 0.155 < ratio[small].std() < 0.175  # 2 log(4/3) / sqrt(12) = 0.166
    assert abs(np.corrcoef(area[small], ratio[small])[0, 1]) < 0.06
    assert abs(np.corrcoef(area[:, 0], area[:, 1])[0, 1]) < 0.08  # the two views of an image
    for free, start in ((400 - height, top), (400 - width, left)):
        share = start[free > 50] / free[free > 50]
        assert abs(share.mean() - 0.5) < 0.02
        assert abs(np.corrcoef(share, area[free > 50])[0, 1]) < 0.06


def resample(image, box, size, mirrored=False, sigma=None):
    top, left, height, width = (tf.constant([[float(part)]]) for part in box)
    if mirrored:
        left, width = left + width, -width
    sigma = None if sigma is None else tf.constant([[sigma]])
    rows = geometry.resample_matrices(top, height, image.shape[0], size, sigma)
    columns = geometry.resample_matrices(left, width, image.shape[1], size, sigma)
    image = tf.cast(image, tf.float32)[None]
    lines = geometry.apply_to_rows_and_columns(image, rows, columns)  # [1, 1, S, 3, S]
    return np.moveaxis(lines.numpy()[0, 0], 1, -1)


@pytest.mark.parametrize(
    "box", [(0, 0, 50, 70), (3, 20, 40, 33), (10, 5, 9, 12), (49, 69, 1, 1), (7, 0, 16, 70)]
)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [16, 37, 64])  # one block of rows, unequal ones, several
def test_crop_and_resize_is_pils(images, box, mirrored, size):
    expected = twin.crop_and_resize(images[0], box, size)
    got = resample(images[0], box, size, mirrored)
    np.testing.assert_allclose(got[:, ::-1] if mirrored else got, expected, atol=2e-3)


def test_whole_image_at_its_own_size_is_unchanged(images):
    square = images[0, :, :50]
    np.testing.assert_array_equal(resample(square, (0, 0, 50, 50), 50), square)
    np.testing.assert_array_equal(resample(square, (0, 0, 50, 50), 50, True), square[:, ::-1])


@pytest.mark.parametrize("size", [8, 32, 35, 96])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_is_a_mirrored_gaussian(size, sigma):
    image = np.random.default_rng(1).uniform(0, 255, [size, size, 3])
    got = resample(image, (0, 0, size, size), size, sigma=sigma)
    expected = twin.blur(image, sigma, {8: 1, 32: 1, 35: 1, 96: 4}[size])
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("box", [(0, 0, 50, 70), (10, 5, 9, 12)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_blur_follows_the_resize(images, box, mirrored):
    """In one matrix; its edges are those of the crop, also where the image goes on."""
    resized = twin.crop_and_resize(images[0], box, 45)
    expected = twin.blur(resized[:, ::-1] if mirrored else resized, 1.5, 2)
    np.testing.assert_allclose(resample(images[0], box, 45, mirrored, 1.5), expected, atol=2e-3)


def test_many_views_are_the_single_ones():
    """Each view of each image by its own matrix, against one at a time."""
    images = tf.random.stateless_uniform([2, 50, 50, 3], [0, 1])
    start, length, sigma = (
        tf.random.stateless_uniform([2, 4], [2, seed], low, high)
        for seed, (low, high) in enumerate([(0, 9), (9, 40), (0.2, 2.0)])
    )

    def views(b, k):
        parts = (part[b, k] for part in (start, length))
        both = geometry.resample_matrices(*parts, 50, 40, sigma[b, k])
        return geometry.apply_to_rows_and_columns(images[b], both, both)

    every = slice(None)
    together = views(every, every)
    for b in range(2):
        for k in range(4):
            alone = views(slice(b, b + 1), slice(k, k + 1))
            np.testing.assert_allclose(together[b, k], alone[0, 0], atol=1e-6)
