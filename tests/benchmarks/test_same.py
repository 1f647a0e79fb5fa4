"""Our operations, as `make bench` compares them with other libraries', beside the slow twins."""

import numpy as np
import pytest

from benchmarks.same import forced, ours
from msbreg_tf.augment.resample import blur_radius
from msbreg_tf.data.sources.sample import load_sample
from tests.augment import twin


@pytest.fixture(scope="module")
def image():
    """A photograph of 128 × 128, each of whose pixels is one of the sample's by four."""
    return load_sample("train")[0][0].repeat(4, axis=0).repeat(4, axis=1)


def jittered(brightness=1.0, contrast=1.0, saturation=1.0, turn=0.0):
    return lambda plain: twin.jitter(plain, brightness, contrast, saturation, turn, 0)


PLAIN = {
    "flip": lambda plain: plain[:, ::-1],
    "brightness": jittered(brightness=forced.BRIGHTNESS),
    "contrast": jittered(contrast=forced.CONTRAST),
    "saturation": jittered(saturation=forced.SATURATION),
    "hue": jittered(turn=forced.HUE),
    "grey": lambda plain: np.repeat((plain @ twin.GREY)[..., None], 3, axis=-1),
    "blur": lambda plain: twin.blur(plain, forced.SIGMA, blur_radius(forced.SIZE)),
    "solarisation": lambda plain: np.where(plain > 127.5, 255 - plain, plain),
}


def expected(operation, image):
    if operation == "crop":
        return twin.crop_and_resize(
            image, (forced.TOP, forced.LEFT, forced.HEIGHT, forced.WIDTH), forced.SIZE
        )
    return PLAIN[operation](np.float64(image[: forced.SIZE, : forced.SIZE]))


@pytest.mark.parametrize("operation", ours.OPERATIONS)
def test_each_operation_is_the_layers_own_with_forced_parameters(operation, image):
    made = ours.OPERATIONS[operation](image)
    assert made.dtype == np.uint8
    assert np.abs(made - expected(operation, image)).max() < 1
