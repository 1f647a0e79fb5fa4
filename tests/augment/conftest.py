"""Images that look like something: smooth shading, edges, saturated colours and some noise."""

import numpy as np
import pytest


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
