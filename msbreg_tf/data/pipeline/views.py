"""From a source of images to batches of views, such that step t depends on (seed, t) alone."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Optional

import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.settings import MIB
from msbreg_tf.data.sources.source import Source

# Of float32 views made by one call. They should stay in a core's cache, and a whole batch in one
# call would leave the other cores idle.
_CHUNK_BYTES = 8 * MIB

Batch = dict[str, tf.Tensor]
Augment = Callable[[Batch], Batch]


@dataclasses.dataclass(frozen=True)
class ViewPlan:
    """Everything that determines a run's views, on any machine and from any step.

    Attributes:
      source: images, from `open_source`.
      augment: {"images": uint8 [B, H, W, 3], "draws": float32 [B, K, NUM_DRAWS]} → {"images": uint8
        [B, K, S, S, 3]}; it must treat every image by itself.
      seed: decides order and views.
      batch_size: images N in a step.
      num_views: views K of an image.
      rows: first row and end of the part of each batch that is wanted; without it, all N. Images
        of other rows are neither decoded nor augmented.
      reduction: (draws float32 [K, NUM_DRAWS], height, width) → how many times smaller an image of
        this size may be decoded for these views; `augment` then also gets its "stored_size".
        Without it, all are decoded as they are stored.
      on_device: leave to the training step what can wait for it: batches are then what
        `augment.finish_views` takes: images and their draws or, where sizes differ, what
        `augment.resample_on_host` made of them.
    """

    source: Source
    augment: Augment
    seed: int = 0
    batch_size: int = 512
    num_views: int = 4
    rows: Optional[tuple[int, int]] = None
    reduction: Optional[Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]] = None
    on_device: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """As `steps_per_epoch`, with its error."""
        return steps_per_epoch(self.source.num_images, self.batch_size)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Full batches in an epoch; the rest is left out, another rest in every epoch.

    Raises:
      ValueError: not even one batch.
    """
    if num_images < batch_size:
        raise ValueError(
            f"--batch_size={batch_size}: the images chosen by --dataset and --split are only "
            f"{num_images}. Use --batch_size={num_images} or less, or more images."
        )
    return num_images // batch_size


def view_batches(
    plan: ViewPlan, start_step: int = 0, num_steps: Optional[int] = None
) -> tf.data.Dataset:
    """Batches of augmented views, from any step on.

    Element t is a pure function of (seed, t): a run that resumes at step s sees exactly what the
    uninterrupted one would have seen, whatever the parallelism. Images of skipped steps are neither
    decoded nor augmented.

    Args:
      plan: which views.
      start_step: first step, counted from the beginning of the run.
      num_steps: steps of the whole run, also counted from its beginning; without it, no end.

    Returns:
      Prefetched data set of uint8 [N, K, S, S, 3], or fewer rows, of static shape.

    Raises:
      ValueError: fewer images than a batch.
    """
    records = _records(plan, start_step)
    length = None if num_steps is None else max(0, num_steps - start_step)
    if length is not None:
        records = records.take(length * plan.batch_size)
    views = batches_of(records, plan)
    options = tf.data.Options()
    options.deterministic = True
    if length is not None:
        # Keras learns the end of a data set of unknown length from the failure of a step, half of
        # which may have happened by then.
        views = views.apply(tf.data.experimental.assert_cardinality(length))
    return views.with_options(options).prefetch(2)


def batches_of(records: tf.data.Dataset, plan: ViewPlan) -> tf.data.Dataset:
    """Batches of views of records in the order given; works inside `interleave`.

    Args:
      records: ((index, record), position), position counting all images since the run's beginning.
      plan: which views.

    Returns:
      Data set of what `view_batches` returns.
    """
    source, augment, num_rows = plan.source, plan.augment, plan.batch_size
    if plan.rows is not None:
        first, end = plan.rows
        num_rows = end - first
        records = records.filter(
            lambda _, position: (
                (position % plan.batch_size >= first) & (position % plan.batch_size < end)
            )
        )
    images_per_epoch = plan.steps_per_epoch * plan.batch_size

    def item_of(record, position):
        """One image and its draws: uint8 [H, W, 3] and float32 [K, NUM_DRAWS]."""
        index, stored = record
        epoch_views = views_seed(plan.seed, position // images_per_epoch)
        draws = image_draws(epoch_views, index, plan.num_views)
        if plan.reduction is None or source.image_shape is not None:
            return {"images": source.decode(stored), "draws": draws}
        reduce = functools.partial(plan.reduction, draws)
        image, stored_size = source.decode_reduced(stored, reduce)
        return {"images": image, "draws": draws, "stored_size": stored_size}

    if source.image_shape is None:  # images of different sizes do not stack
        of_batch = augment.resample_on_host if plan.on_device else _images_of(augment)
        items = parallel_map(records, lambda *element: _alone(of_batch, item_of(*element)))
        return items.batch(num_rows, drop_remainder=True)
    items = parallel_map(records, item_of)
    if plan.on_device:
        return items.batch(num_rows, drop_remainder=True)
    return _augment_in_chunks(items, augment, num_rows)


def _images_of(augment: Augment) -> Callable[[Batch], tf.Tensor]:
    return lambda batch: augment(batch)["images"]


def _alone(function: Callable[[Batch], Any], item: Batch) -> Any:
    """What a function of batches makes of one item, without the batch axis."""
    result = function({name: value[tf.newaxis] for name, value in item.items()})
    return tf.nest.map_structure(lambda tensor: tensor[0], result)


def _records(plan: ViewPlan, start_step: int) -> tf.data.Dataset:
    """((index, record), position) from `start_step` on, without end; position counts all images."""
    steps, batch_size = plan.steps_per_epoch, plan.batch_size
    first_epoch, skipped_steps = divmod(start_step, steps)

    def one_epoch(epoch):
        first = tf.where(epoch == first_epoch, tf.constant(skipped_steps * batch_size, tf.int64), 0)
        ordered = plan.source.ordered(order_seed(plan.seed, epoch), first)
        return ordered.take(steps * batch_size - first)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    positions = tf.data.Dataset.range(start_step * batch_size, tf.int64.max)
    return tf.data.Dataset.zip((epochs.flat_map(one_epoch), positions))


def _augment_in_chunks(
    items: tf.data.Dataset, augment: Augment, batch_size: int
) -> tf.data.Dataset:
    """{"images", "draws"} of single images → uint8 [N, K, S, S, 3]."""
    height, width, _ = items.element_spec["images"].shape
    views_bytes = items.element_spec["draws"].shape[0] * height * width * 3 * 4
    most = min(max(1, _CHUNK_BYTES // views_bytes), batch_size)
    chunk = max(n for n in range(1, most + 1) if batch_size % n == 0)
    chunks = items.batch(chunk, drop_remainder=True)
    views = parallel_map(chunks, _images_of(augment))
    if chunk == batch_size:
        return views
    stacked = views.batch(batch_size // chunk, drop_remainder=True)  # [N / chunk, chunk, K, ...]
    return stacked.map(lambda v: tf.reshape(v, [batch_size, *v.shape[2:]]))  # [N, K, S, S, 3]
