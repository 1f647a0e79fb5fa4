"""A batch in micro-batches, one after the other, so that memory holds the activations of one."""

from collections.abc import Callable

import tensorflow as tf

Gradients = list[tf.Tensor]
Values = dict[str, tf.Tensor]


def average_over_micro_batches(
    gradients_of: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[Gradients, Values]],
    views: tf.Tensor,
    seed: tf.Tensor,
    first_image: tf.Tensor,
    num_parts: int,
) -> tuple[Gradients, Values]:
    """Averages gradients and values over the micro-batches of this replica's batch.

    A loop in Python, so the first step takes M times as long to trace: the collectives of several
    replicas may not run in `tf.while_loop` or in a `tf.function` of their own, and on one replica
    the latter was measured to hold a third more memory. Sums are taken in the order of the rows, so
    that they come out the same, bit for bit, every time.

    Args:
      gradients_of: (views [B/M, …], seed, place of their first image in the global batch) →
        (gradients, {name: scalar}).
      views: [B, …].
      seed: of the step, passed on.
      first_image: place of the first of `views` in the global batch.
      num_parts: M, micro-batches; it must divide B.

    Returns:
      The means over micro-batches of what `gradients_of` returned.

    Raises:
      ValueError: B is known when traced and can't be divided.
    """
    if views.shape[0] is not None and views.shape[0] % num_parts:
        raise ValueError(
            f"accumulate_steps={num_parts}: a replica's {views.shape[0]} images can't be divided "
            "evenly. Use a batch that is a multiple of it."
        )
    parts = tf.reshape(views, [num_parts, -1, *views.shape[1:]])  # [M, B/M, …]
    sums = None
    for index in range(num_parts):
        # All that a micro-batch computes follows from its rows, so this dependency makes it wait
        # until the activations of the one before are freed.
        with tf.control_dependencies(tf.nest.flatten(sums) if sums else []):
            rows = tf.identity(parts[index])  # [B/M, …]
        results = gradients_of(rows, seed, first_image + index * tf.shape(parts)[1])
        sums = results if sums is None else tf.nest.map_structure(tf.add, sums, results)
    return tf.nest.map_structure(lambda total: total / num_parts, sums)
