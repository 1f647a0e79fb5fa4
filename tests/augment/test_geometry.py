import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment import NUM_DRAWS, geometry

from . import twin

AREA, MAX_RATIO = (0.08, 1.0), 4 / 3


def boxes_of(draws, height, width, area=AREA, max_ratio=MAX_RATIO):
    boxes = geometry.crop_boxes(
        tf.constant(draws), tf.constant(float(height)), tf.constant(float(width)), area, max_ratio
    )
    return np.stack([part.numpy() for part in boxes], axis=-1)  # [B, K, 4]


@pytest.fixture(scope="module")
def draws():
    return np.random.default_rng(0).random([3000, 2, NUM_DRAWS], np.float32)


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
    draws = np.ones([1, 2, NUM_DRAWS], np.float32) * 0.999
    draws[:, 1, 10:20] = 0
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


def resample(image, box, size, mirrored=False):
    top, left, height, width = (tf.constant([[float(part)]]) for part in box)
    if mirrored:
        left, width = left + width, -width
    rows = geometry.resample_matrices(top, height, image.shape[0], size)
    columns = geometry.resample_matrices(left, width, image.shape[1], size)
    planes = tf.transpose(tf.cast(image, tf.float32), [2, 0, 1])[None]
    planes = geometry.apply_to_rows_and_columns(planes, rows, columns)
    return np.moveaxis(planes.numpy()[0, 0], 0, -1)


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
    matrices = geometry.blur_matrices(tf.constant([[sigma]]), size)
    planes = tf.constant(image.transpose(2, 0, 1)[None, None], tf.float32)
    got = geometry.apply_to_rows_and_columns(planes, matrices, matrices)[0, 0]
    expected = twin.blur(image, sigma, {8: 1, 32: 1, 35: 1, 96: 4}[size])
    np.testing.assert_allclose(np.moveaxis(got.numpy(), 0, -1), expected, atol=1e-3)


def test_many_views_are_the_single_ones(images):
    """Blurs [B, K, 3, …] planes with a matrix for each view, against one view at a time."""
    planes = tf.random.stateless_uniform([2, 4, 3, 10, 10], [0, 1])
    sigma = tf.random.stateless_uniform([2, 4], [2, 3], 0.2, 2.0)
    both = geometry.blur_matrices(sigma, 10)
    got = geometry.apply_to_rows_and_columns(planes, both, both)
    for b in range(2):
        for k in range(4):
            one = geometry.blur_matrices(sigma[b : b + 1, k : k + 1], 10)
            alone = geometry.apply_to_rows_and_columns(planes[b : b + 1, k : k + 1], one, one)
            np.testing.assert_allclose(got[b, k], alone[0, 0], atol=1e-6)
