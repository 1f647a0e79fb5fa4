"""Small networks and images for the tests."""

import numpy as np
import pytest
from tensorflow import keras


@pytest.fixture(autouse=True)
def same_initial_weights():
    """Makes every test see the same network on every run."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def images():
    """Returns a maker of float32 images in 0..255: images(B, H, W, seed=0)."""

    def make(count, height, width, seed=0):
        random = np.random.default_rng(seed)
        return random.uniform(0, 255, (count, height, width, 3)).astype(np.float32)

    return make


@pytest.fixture
def shake():
    """Returns a function that gives every weight of a model a random, plausible value."""

    def randomize(model, seed=0):
        random = np.random.default_rng(seed)
        for weight in model.weights:
            noise = random.normal(size=weight.shape)
            if "variance" in weight.name:
                weight.assign(np.exp(0.3 * noise))
            elif weight.shape.rank == 1:
                weight.assign(1.0 + 0.3 * noise if "gamma" in weight.name else 0.3 * noise)
            else:
                weight.assign(noise * np.sqrt(2.0 / np.prod(weight.shape[:-1])))
        return model

    return randomize


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def sixteen_bits(request):
    """Works under a 16-bit policy and puts the old one back."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy(before)
