"""A few images with the views that the first epoch makes of them, to look at and to measure on."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from msbreg_tf.augment import image_draws
from msbreg_tf.data.resizing import resize_and_crop
from msbreg_tf.data.seeds import order_seed, views_seed
from msbreg_tf.data.source import Source


def probe_views(
    source: Source, augment: Callable, *, seed: int, num_views: int, count: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """The first images of epoch 0 with the very views that training makes of them.

    Args:
      source: images, from `open_source`.
      augment: as for `view_batches`.
      seed: the run's.
      num_views: K.
      count: how many images, at most.

    Returns:
      images, uint8 [n, S, S, 3], resized and centre-cropped, and views, uint8 [n, K, S, S, 3].
    """

    def look(index, record):
        image = source.decode(record)
        draws = image_draws(views_seed(seed, 0), index, num_views)
        views = augment({"images": image[tf.newaxis], "draws": draws[tf.newaxis]})["images"][0]
        return resize_and_crop(image, views.shape[-2]), views

    chosen = source.ordered(order_seed(seed, 0)).take(count)
    images, views = zip(*chosen.map(look).as_numpy_iterator())
    return np.stack(images), np.stack(views)
