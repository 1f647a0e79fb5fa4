"""Stateless seeds: each random choice is a pure function of (run seed, epoch, image)."""

from typing import Union

import tensorflow as tf

# What a seed is used for; folded in last, so that order and views never share random bits.
_ORDER, _VIEWS = 0, 1


def epoch_seed(seed: int, epoch: Union[int, tf.Tensor], purpose: int) -> tf.Tensor:
    """Returns an int32 [2] seed for one purpose in one epoch.

    Args:
      seed: the run's seed.
      epoch: integer scalar.
      purpose: tells uses apart.
    """
    folded = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, 0], tf.int32), tf.cast(epoch, tf.int32), alg="philox"
    )
    return tf.random.experimental.stateless_fold_in(folded, purpose, alg="philox")


def order_seed(seed: int, epoch: Union[int, tf.Tensor]) -> tf.Tensor:
    """Seed of an epoch's shuffle, int32 [2]."""
    return epoch_seed(seed, epoch, _ORDER)


def views_seed(seed: int, epoch: Union[int, tf.Tensor]) -> tf.Tensor:
    """Seed of an epoch's views, int32 [2]; the image's index and the view are folded in later."""
    return epoch_seed(seed, epoch, _VIEWS)
