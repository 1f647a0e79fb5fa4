"""`Dataset.map` as all pipelines here use it."""

from collections.abc import Callable

import tensorflow as tf


def parallel_map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Maps on all cores, in the order of the elements; `function` has no Python control flow."""
    # AutoGraph, which would translate it, takes seconds at every start.
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
