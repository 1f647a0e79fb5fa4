"""All that differs between one replica and several, in one place.

Gradients are summed over replicas. A loss that averages over its replica's images and one that
every replica computes on the gathered global batch therefore need the same factor, 1/R
(differentiating through a gather already yields the gradient of the sum of all replicas' losses).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf


def num_replicas() -> int:
    """R, the replicas that step together; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def first_image(batch: int) -> tf.Tensor:
    """Row in the global batch of this replica's first image, int32, when each replica holds B."""
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group, tf.int32) * batch


def gather_rows(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, [M, …] → [R·M, …] in replica order; differentiable."""
    if num_replicas() == 1:
        return rows
    gathered = tf.distribute.get_replica_context().all_gather(rows, axis=0)
    return tf.ensure_shape(gathered, [None, *rows.shape[1:]])  # the gather forgets it


def sum_gradients(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients summed over replicas."""
    if num_replicas() == 1:
        return list(gradients)
    context = tf.distribute.get_replica_context()
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)))


def read_own_copies(variables: Sequence[tf.Variable]) -> None:
    """Outside a step, reads moving statistics from this process's first replica.

    They are the variables of which every replica has a copy of its own. TensorFlow would take the
    mean, with several machines by an operation that every worker has to join: then the chief alone
    could neither save nor export nor evaluate. The copies are equal, because the statistics are
    taken over all replicas, so one copy is exactly the mean. TensorFlow has no public way to say
    this of a variable that exists.
    """
    for variable in variables:
        if (variable.synchronization, variable.aggregation) == (
            tf.VariableSynchronization.ON_READ,
            tf.VariableAggregation.MEAN,
        ):
            variable._aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA


def update_variables(
    update: Callable[[tf.Variable, tf.Tensor], tf.Operation],
    variables: Sequence[tf.Variable],
    sources: Sequence[tf.Variable],
) -> None:
    """Calls `update(variable, source)` for each pair, on every replica's own copy.

    A mirrored variable can't be assigned from replica context, hence the merge.
    """

    def merged(strategy, variables, sources):
        for variable, source in zip(variables, sources):
            strategy.extended.update(variable, update, args=(source,), group=False)

    tf.distribute.get_replica_context().merge_call(merged, args=(variables, sources))
