"""Batches made by the workers of a tf.data service: the same batches in the same order.

A worker is given numbers of steps and makes the batch of each, a pure function of (seed, step) as
in `views.py`. They come back in any order, and are put in the order of the steps here.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Optional
from urllib.parse import urlsplit

import grpc  # TensorFlow needs it too
import tensorflow as tf

from msbreg_tf.data.pipeline.ordered_reader import OrderedReader
from msbreg_tf.data.pipeline.seeds import order_seed
from msbreg_tf.data.pipeline.views import ViewPlan, batches_of
from msbreg_tf.data.settings import MIB
from msbreg_tf.data.sources.source import Source, permutation
from msbreg_tf.errors import RunFailedError

_CONNECT_SECONDS = 5.0
# Steps under way in a worker. One would leave cores idle at its end.
_STEPS_AT_ONCE = 2
_MOST_WAITING = 64
_ENDLESS = 2**40  # steps


def check_service(service: str, source: Source) -> None:
    """Refuses what can't work, before anything is started.

    Args:
      service: "grpc://HOST:PORT".
      source: the images.

    Raises:
      ValueError: the images are streamed, some need Pillow, or nothing answers there.
    """
    source.records_in_memory()
    if names := source.needs_python():
        raise ValueError(
            f"--data_service={service}: its workers decode JPEG, PNG, GIF and BMP only, and "
            f"{len(names):,} of the images are of another format, such as {names[0]}. Convert "
            "them, or train without --data_service."
        )
    if reason := why_no_service(service):
        raise ValueError(
            f"--data_service={service}: nothing answers there ({reason}). Start a dispatcher with "
            "`python -m tools.data_service`, or correct host and port."
        )


def why_unreachable(service: str) -> Optional[str]:
    """None if something accepts connections at "grpc://HOST:PORT" within 5 s, else the reason."""
    address = urlsplit(service)
    try:
        socket.create_connection((address.hostname, address.port), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def why_no_service(service: str) -> Optional[str]:
    """None if something at "grpc://HOST:PORT" speaks gRPC, else the reason, within 10 s.

    TensorFlow itself would try without end, and hold the interpreter's lock meanwhile.
    """
    if reason := why_unreachable(service):
        return reason
    with grpc.insecure_channel(urlsplit(service).netloc) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            return "what listens there is no tf.data service"
    return None


@contextlib.contextmanager
def service_batches(
    service: str,
    plan: ViewPlan,
    start_step: int = 0,
    num_steps: Optional[int] = None,
    *,
    buffer_mb: int = 4096,
) -> Iterator[tf.data.Dataset]:
    """The batches of `view_batches`, made elsewhere.

    A step that a dying worker takes with it is made on this machine. Workers may join at any time.

    Args:
      service: "grpc://HOST:PORT" of a dispatcher.
      plan, start_step, num_steps: as for `view_batches`.
      buffer_mb: memory for batches that wait for their turn, in MiB.

    Yields:
      Prefetched data set, to be iterated over once.

    Raises:
      RunFailedError: in the body, if the dispatcher dies or the workers report an error.
    """
    num_steps = _ENDLESS if num_steps is None else num_steps
    spec = _elsewhere(plan, start_step, num_steps).element_spec[1]
    limit = _number_that_fits(spec, buffer_mb)
    reader = OrderedReader(
        _receiver(service, plan, num_steps, limit),
        _maker(plan),
        lambda: why_unreachable(service),
        name=f"--data_service={service}",
        first=start_step,
        limit=limit,
    )
    failures = []
    try:
        yield _in_order(reader, failures, spec, start_step, num_steps)
    except tf.errors.OpError as error:
        if failures:
            raise RunFailedError(failures[0]) from error
        raise
    finally:
        reader.close()


def _elsewhere(plan: ViewPlan, start: int, num_steps: int) -> tf.data.Dataset:
    """(step, batch) from `start` on, as workers make them."""
    steps = tf.data.Dataset.range(start, num_steps)
    return _batches_of_steps(steps, plan.source.records_in_graph, plan)


def _receiver(
    service: str, plan: ViewPlan, num_steps: int, limit: int
) -> Callable[[int], Iterator[tuple[int, Any]]]:
    """step → (step, batch) of all steps from there on, in any order."""

    def receive(start):
        distribute = tf.data.experimental.service.distribute(
            "distributed_epoch", service, compression=None, max_outstanding_requests=limit
        )
        for step, batch in _elsewhere(plan, start, num_steps).apply(distribute):
            yield int(step), batch

    return receive


def _maker(plan: ViewPlan) -> Callable[[int], Any]:
    """step → its batch, made on this machine."""

    @tf.function
    def one_here(step):
        steps = tf.data.Dataset.range(step, step + 1)
        batches = _batches_of_steps(steps, plan.source.records_in_memory, plan)
        return batches.get_single_element()[1]

    def make_here(step):
        with tf.device("CPU"):
            return one_here(tf.constant(step, tf.int64))

    return make_here


def _batches_of_steps(
    steps: tf.data.Dataset, records: Callable[[], tf.Tensor], plan: ViewPlan
) -> tf.data.Dataset:
    """Numbers of steps → (step, batch), in any order; each batch depends on its step alone."""
    source, batch_size, per_epoch = plan.source, plan.batch_size, plan.steps_per_epoch

    def read(held, step):
        # The scan's state is read once. A data set built outside a function would be split among
        # the workers.
        held = tf.cond(tf.size(held) > 0, lambda: held, records)
        epoch, first = step // per_epoch, step % per_epoch * batch_size
        order = permutation(source.num_images, order_seed(plan.seed, epoch))
        indices = order[first : first + batch_size]
        return held, (step, indices, tf.gather(held, indices))

    def one_batch(step, indices, stored):
        found = tf.data.Dataset.from_tensor_slices((indices, stored))
        positions = tf.data.Dataset.range(step * batch_size, (step + 1) * batch_size)
        numbered = tf.data.Dataset.zip((found, positions))
        return batches_of(numbered, plan).map(lambda batch: (step, batch))

    like = source.records_in_memory()
    nothing = tf.zeros([0, *like.shape[1:]], like.dtype)
    return steps.scan(nothing, read).interleave(
        one_batch,
        cycle_length=_STEPS_AT_ONCE,
        block_length=1,
        num_parallel_calls=_STEPS_AT_ONCE,
        deterministic=False,
    )


def _in_order(
    reader: OrderedReader, failures: list[str], spec: Any, start_step: int, num_steps: int
) -> tf.data.Dataset:
    """What `reader` hands out as a data set; its tensors are passed on, not copied."""
    flat_spec = tf.nest.flatten(spec)

    def next_batch(step):
        try:
            return tf.nest.flatten(reader.element(int(step)))
        except RunFailedError as error:
            failures.append(str(error))
            raise

    def batch_of(step):
        tensors = tf.py_function(next_batch, [step], [part.dtype for part in flat_spec])
        for tensor, part in zip(tensors, flat_spec):
            tensor.set_shape(part.shape)
        return tf.nest.pack_sequence_as(spec, tensors)

    return tf.data.Dataset.range(start_step, num_steps).map(batch_of).prefetch(2)


def _number_that_fits(spec: Any, buffer_mb: int) -> int:
    """Batches under `buffer_mb` MiB: as many may wait here as are under way, so half of that."""
    size = sum(part.shape.num_elements() * part.dtype.size for part in tf.nest.flatten(spec))
    return max(2, min(_MOST_WAITING, buffer_mb * MIB // (2 * size)))
