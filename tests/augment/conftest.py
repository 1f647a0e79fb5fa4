"""Images that look like something: smooth shading, edges, saturated colours and some noise."""

import numpy as np
import pytest

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.settings import AugmentSettings


def make_layer(num_views=4, image_size=96, seed=None, **settings):
    """The layer with these settings; `area` and `blur_sigma` are pairs, smallest and largest."""
    for pair, names in (
        ("area", ("crop_area_min", "crop_area_max")),
        ("blur_sigma", ("blur_sigma_min", "blur_sigma_max")),
    ):
        if pair in settings:
            settings.update(zip(names, settings.pop(pair)))
    if "max_ratio" in settings:
        settings["crop_ratio_max"] = settings.pop("max_ratio")
    return MultiViewAugmentation(
        AugmentSettings(**settings), num_views=num_views, image_size=image_size, seed=seed
    )


def make_image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack(
        [
            127 + 120 * np.sin(x / rng.uniform(4, 30) + y / rng.uniform(4, 30) + phase)
            for phase in rng.uniform(0, 6, 3)
        ],
        axis=-1,
    )
    image[height // 3 : height // 2, width // 4 : width // 2] = rng.choice([0, 255], 3)
    image += rng.normal(0, 8, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def images():
    """uint8 [6, 50, 70, 3], not square."""
    return np.stack([make_image(50, 70, seed) for seed in range(6)])
