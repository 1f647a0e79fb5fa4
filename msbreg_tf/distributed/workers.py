"""Everything that differs when several processes, on one or several machines, train one model.

Every worker does the same steps in the same order, and each operation over all of them (a
collective) waits for all. Code that only one worker runs must not contain a collective;
`replicas.py` reads variables without one. One worker, the chief, writes.
"""

import contextlib
import faulthandler
import os
import re
import signal
import sys
from typing import Optional

import tensorflow as tf
from tensorflow.python.eager import context

try:
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
except ImportError:  # TensorFlow 2.15
    from tensorflow.tsl.protobuf import coordination_config_pb2

from msbreg_tf.distributed.cluster import Cluster, read_cluster
from msbreg_tf.distributed.intercom import Intercom
from msbreg_tf.distributed.rendezvous import wait_for_all_workers
from msbreg_tf.errors import PreemptedError, RunFailedError, one_line

# A worker that was killed, or whose machine or network is gone, is missed after this time at most.
HEARTBEAT_SECONDS = 10
_CONNECT_SECONDS = 120
_JOB = "worker"
_SIGNS_OF_LOSS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)


class Workers:
    """The workers of a run; with a single worker, nothing here does anything.

    Attributes:
      index: this worker's place.
      count: W.
      is_chief: whether it is the one that writes.
      strategy: connects the workers; None with one.
    """

    def __init__(self, cluster: Cluster = Cluster()):  # noqa: B008 - it is frozen
        """Waits for the others and connects; must precede all other use of devices.

        Raises:
          ValueError or RunFailedError: see `wait_for_all_workers`.
        """
        self.index, self.count = cluster.index, len(cluster.addresses)
        self.is_chief = self.index == 0
        self.strategy: Optional[tf.distribute.MultiWorkerMirroredStrategy] = None
        self._intercom = Intercom()
        if self.count == 1:
            return
        others = f"{self.count - 1} other{'s' * (self.count > 2)}"
        print(f"Worker {self.index} of {self.count}: waiting for the {others}.", flush=True)
        self._intercom = wait_for_all_workers(cluster)
        self.strategy = _connect(cluster)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Tells the others why this worker ends, or its user why another one did.

        Raises:
          RunFailedError: another worker has ended.
        """
        if self.strategy is None or error is None:
            return
        if isinstance(error, PreemptedError):
            _wait_for_the_last()
            return
        if gone := self.explain(error):
            raise RunFailedError(gone) from error
        reason = "interrupted." if isinstance(error, KeyboardInterrupt) else repr(error)
        if isinstance(error, (ValueError, RunFailedError)):
            reason = one_line(error)
        self._intercom.tell(reason)
        with contextlib.suppress(tf.errors.OpError):  # if the chief is gone, they notice that
            context.context().report_error_to_cluster(tf.errors.ABORTED, "a worker has ended")

    def all_gather(self, number: float) -> list[float]:
        """Every worker's `number`, in the order of workers; waits until all have called it."""
        if self.strategy is None:
            return [float(number)]
        own = tf.one_hot(self.index, self.count, dtype=tf.float64) * number
        return self._sum(own).numpy().tolist()

    def broadcast(self, number: float) -> float:
        """The chief's `number`, on every worker; waits until all have called it."""
        return self.all_gather(number)[0]

    def barrier(self) -> None:
        """Waits until all workers have called it."""
        self.all_gather(0)

    def rows(self, batch_size: int) -> Optional[tuple[int, int]]:
        """First row and end of this worker's part of each global batch; None: all of it."""
        if self.strategy is None:
            return None
        size = batch_size // self.count
        return self.index * size, (self.index + 1) * size

    def feed(self, views: tf.data.Dataset) -> tf.data.Dataset:
        """This worker's part of each batch → what `fit` takes.

        Args:
          views: batches of N/W images, without end: Keras would else ask all workers before each
            step whether there is another one.
        """
        if self.strategy is None:
            return views
        local_replicas = self.strategy.num_replicas_in_sync // self.count
        views = split_batches(views, local_replicas)
        views = views.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return self.strategy.distribute_datasets_from_function(lambda _: views)

    def explain(self, error: BaseException) -> Optional[str]:
        """What happened to another worker, in one line, if that is what `error` is about."""
        _, marker, cause = str(error).partition("Collective ops is aborted by:")
        if self.strategy is None or not marker or not isinstance(error, _SIGNS_OF_LOSS):
            return None
        ending = self._intercom.first_ending(HEARTBEAT_SECONDS)
        if ending is not None and ending.reason is not None:
            return (
                f"worker {ending.worker} ended: {ending.reason} When that is mended, start all "
                f"{self.count} again."
            )
        named = re.findall(rf"/job:{_JOB}/(?:replica:\d+/)?task:(\d+)", cause)
        others = [int(index) for index in named if int(index) != self.index]
        others = [ending.worker] if ending is not None else others
        who = f"worker {others[0]}" if others else "another worker"
        return (
            f"{who} is gone: its process was killed, or its machine or the network is down. Start "
            f"all {self.count} workers again; they continue from the last checkpoint."
        )

    def own_name(self, file: str) -> str:
        """`file` for the chief, `file.<index>` for the others."""
        return file if self.is_chief else f"{file}.{self.index}"

    @tf.function
    def _sum(self, numbers: tf.Tensor) -> tf.Tensor:
        def sum_over_replicas(own):
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        sums = self.strategy.run(sum_over_replicas, args=(numbers,))
        local = self.strategy.experimental_local_results(sums)
        return local[0] / len(local)  # each replica of a worker has added the same


def join_workers(strategy: str) -> Workers:
    """The workers that `--strategy` and the environment name, connected.

    Raises:
      ValueError: the environment names none, or is not understood.
      RunFailedError: not all of them started.
    """
    return Workers(read_cluster(strategy, os.environ))


def leave_at_once(end: SystemExit) -> None:
    """Ends the process with the code of `end`, if there are several workers.

    TensorFlow's own way of leaving the others takes long where one of them is gone.
    """
    if context.context().coordination_service is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def _wait_for_the_last() -> None:
    """Waits until no worker is still in the last collective, which needs all processes to its end.

    A worker that fails to see the end of this wait has lost the chief, who leaves after all came.
    """
    with contextlib.suppress(tf.errors.OpError):
        context.context().wait_at_barrier("msbreg_tf_leave", 1000 * HEARTBEAT_SECONDS)


def split_batches(views: tf.data.Dataset, parts: int) -> tf.data.Dataset:
    """Each batch as `parts` batches of consecutive rows, one for each replica of this worker."""
    if parts == 1:
        return views

    def in_parts(tensor):
        return tf.reshape(tensor, [parts, tensor.shape[0] // parts, *tensor.shape[1:]])

    def split(batch):
        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(in_parts, batch))

    return views.flat_map(split).prefetch(2 * parts)


def _connect(cluster: Cluster) -> tf.distribute.MultiWorkerMirroredStrategy:
    count = len(cluster.addresses)
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{_JOB}/replica:0/task:0",
        heartbeat_timeout_in_ms=1000 * HEARTBEAT_SECONDS,
        coordinated_jobs=[coordination_config_pb2.CoordinatedJob(name=_JOB, num_tasks=count)],
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({_JOB: list(cluster.addresses)}),
        task_type=_JOB,
        task_id=cluster.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    # If a worker ends at this very moment, TensorFlow waits for it without end and holds Python's
    # lock, so that no thread of ours could give up.
    faulthandler.dump_traceback_later(_CONNECT_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    finally:
        faulthandler.cancel_dump_traceback_later()
        # TensorFlow has replaced the handler by one that only makes a note of the signal.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
