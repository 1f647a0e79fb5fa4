import colorsys

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.augment import colour
from msbreg_tf.augment.operations import jitter
from msbreg_tf.augment.planes import MID_GREY, Planes

from . import twin


def jitter_of(brightness=1.0, contrast=1.0, saturation=1.0, turn=0.0, order=0):
    return jitter.Jitter(
        *(tf.constant([[value]], tf.float32) for value in (brightness, contrast, saturation, turn)),
        order=tf.constant([[order]]),
    )


def to_lines(image):
    return tf.constant(np.moveaxis(image, -1, 1)[None, None], tf.float32)


def to_planes(image):
    return Planes(*tf.unstack(tf.constant(image[None, None], tf.float32), axis=-1))


def to_image(planes):
    return np.stack(planes, axis=-1)[0, 0]


@pytest.fixture(scope="module")
def image():
    """Random colours and the awkward ones: greys, primaries, two equal largest channels."""
    image = np.random.default_rng(0).uniform(0, 255, [16, 16, 3])
    image[0, :8] = [[0, 0, 0], [255] * 3, [99] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255],
                    [80, 80, 20], [20, 80, 80]]  # fmt: skip
    return image


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.03, 0.1, 1 / 3])
def test_turn_hue_is_colorsys(image, turn):
    got = to_image(jitter.turn_hue(to_planes(image), tf.constant([[turn]])))
    expected = []
    for pixel in image.reshape(-1, 3) / 255:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
    np.testing.assert_allclose(got.reshape(-1, 3), np.array(expected) * 255, atol=1e-3)


def test_turn_hue_by_a_third_moves_red_to_green():
    red = to_planes(np.full([2, 2, 3], [200.0, 10.0, 30.0]))
    got = to_image(jitter.turn_hue(red, tf.constant([[1 / 3]])))
    np.testing.assert_allclose(got[0, 0], [30, 200, 10], atol=1e-3)


@pytest.mark.parametrize("order", range(24))
def test_jitter_in_every_order(image, order):
    # Strong enough that values leave 0..255 in the middle and at the end.
    strengths = (1.35, 1.4, 0.8, -0.09) if order % 2 else (0.65, 1.38, 1.2, 0.1)
    got = to_image(jitter.apply(to_planes(image), jitter_of(*strengths, order=order)))
    np.testing.assert_allclose(got, twin.jitter(image, *strengths, order), atol=2e-3)
    if order % 2:
        assert got.max() == 255  # the clip was needed


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("brightness", 0.5, [50, 75, 20]),
        ("contrast", 0.0, [122.492, 122.492, 122.492]),
        ("saturation", 0.0, [122.492, 122.492, 122.492]),
        ("brightness", 2.0, [200, 255, 80]),
    ],
)
def test_jitter_by_hand(name, value, expected):
    """Of one colour, 0.2989 · 100 + 0.587 · 150 + 0.114 · 40 = 122.5."""
    plain = to_planes(np.full([4, 4, 3], [100.0, 150.0, 40.0]))
    got = to_image(jitter.apply(plain, jitter_of(**{name: value})))
    np.testing.assert_allclose(got[1, 2], expected, atol=0.01)


def test_jitter_of_strength_zero_changes_nothing(image):
    for order in (0, 9, 23):
        got = to_image(jitter.apply(to_planes(image), jitter_of(order=order)))
        np.testing.assert_allclose(got, image, atol=1e-4)


def test_recolour_uses_each_views_own_parameters(image):
    """Two images, three views; compiled and batched, against one at a time."""
    rng = np.random.default_rng(3)
    pictures = np.stack([[image] * 3, [image[::-1] * 0.7] * 3])  # [B, K, S, S, 3]
    strengths = [rng.uniform(0.6, 1.4, [2, 3]) for _ in range(3)] + [rng.uniform(-0.1, 0.1, [2, 3])]
    order = np.array([[0, 5, 11], [17, 22, 23]])
    drop = np.array([[True, False, False], [False, True, False]])
    words = colour.recolour(
        tf.constant(pictures.transpose(0, 1, 2, 4, 3) - MID_GREY, tf.float32),
        {
            "jitter": jitter.Jitter(
                *(tf.constant(s, tf.float32) for s in strengths), tf.constant(order)
            ),
            "grey": tf.constant(drop),
        },
    )
    got = colour.pixels(words).numpy()
    for b in range(2):
        for k in range(3):
            expected = twin.jitter(pictures[b, k], *(s[b, k] for s in strengths), order[b, k])
            if drop[b, k]:
                expected = np.repeat((expected @ twin.GREY)[..., None], 3, axis=-1)
            assert np.abs(got[b, k] - expected).max() < 0.501


def rounded(lines, threshold=None):
    parameters = {} if threshold is None else {"solarize": tf.constant([[threshold]])}
    words = colour.recolour(lines - MID_GREY, parameters)
    return colour.pixels(words).numpy()[0, 0]


def test_solarisation_inverts_above_the_threshold_and_values_are_rounded():
    values = np.array([[0, 0.49, 0.51, 100.5], [127, 127.5, 127.6, 128], [200, 254.6, 255, 3.2]])
    lines = to_lines(np.stack([values] * 3, axis=-1))
    got = rounded(lines, 127.5)
    assert got.dtype == np.uint8
    assert got.shape == (3, 4, 3)
    expected = [[0, 0, 1, 101], [127, 128, 127, 127], [55, 0, 0, 3]]
    for channel in range(3):
        np.testing.assert_array_equal(got[..., channel], expected)
    np.testing.assert_array_equal(rounded(lines, 255.0)[..., 1], np.floor(values + 0.5))


def test_colours_keep_their_places():
    image = np.random.default_rng(5).integers(0, 256, [5, 7, 3])
    np.testing.assert_array_equal(rounded(to_lines(image)), image)


def test_white_that_a_mean_has_raised_stays_white():
    lines = to_lines(np.full([2, 2, 3], np.nextafter(np.float32(255), np.float32(256))))
    assert (rounded(lines, 255.0) == 255).all()
    assert (rounded(lines + 0.6) == 255).all()
