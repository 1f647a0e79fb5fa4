"""Images beside their views, as one picture."""

import numpy as np


def view_grid(images: np.ndarray, views: np.ndarray) -> np.ndarray:
    """A row per image: the image, then its views, with a thin white gap.

    Args:
      images: uint8 [n, S, S, 3].
      views: uint8 [n, K, S, S, 3].

    Returns:
      uint8 [n (S + 2), (K + 1)(S + 2), 3].
    """
    tiles = np.concatenate([images[:, None], views], axis=1)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    n, columns, height, width, _ = tiles.shape
    return tiles.transpose(0, 2, 1, 3, 4).reshape(n * height, columns * width, 3)
