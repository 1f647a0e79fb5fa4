"""Images by which two implementations of an encoder are compared. NumPy alone."""

import numpy as np

_COUNT = 16


def probe_images(size: int) -> np.ndarray:
    """Random smooth images, uint8 [16, size, size, 3], the same everywhere."""
    coarse = np.random.default_rng(7).integers(0, 256, [_COUNT, 4, 4, 3], np.uint8)
    return coarse.repeat(-(-size // 4), axis=1).repeat(-(-size // 4), axis=2)[:, :size, :size]
