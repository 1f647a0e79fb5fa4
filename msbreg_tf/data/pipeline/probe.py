"""A few images with the views that the first epoch makes of them, to look at and to measure on."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.pipeline.seeds import order_seed
from msbreg_tf.data.pipeline.views import ViewPlan, batches_of
from msbreg_tf.data.sources.source import Source


def probe_views(
    source: Source, augment: Callable, *, seed: int, num_views: int, count: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """The first images of epoch 0 with the very views that training makes of them.

    Args:
      source: images, from `open_source`.
      augment: as for `ViewPlan`.
      seed: the run's.
      num_views: K.
      count: how many images, at most.

    Returns:
      images, uint8 [n, S, S, 3], resized and centre-cropped, and views, uint8 [n, K, S, S, 3].
    """
    count = min(count, source.num_images)
    plan = ViewPlan(source, augment, seed, count, num_views)
    chosen = source.ordered(order_seed(seed, 0)).take(count).cache()
    numbered = tf.data.Dataset.zip((chosen, tf.data.Dataset.range(count)))
    views = batches_of(numbered, plan).get_single_element()
    size = views.shape[-2]
    images = chosen.map(lambda _, record: resize_and_crop(source.decode(record), size))
    return np.stack(list(images.as_numpy_iterator())), views.numpy()
