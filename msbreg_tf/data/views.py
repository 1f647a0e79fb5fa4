"""From a source of images to batches of views, such that step t depends on (seed, t) alone."""

from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from msbreg_tf.augment import image_draws
from msbreg_tf.data.seeds import order_seed, views_seed
from msbreg_tf.data.source import Source

# Of float32 views made by one call. They should stay in a core's cache, and a whole batch in one
# call would leave the other cores idle.
_CHUNK_BYTES = 8 * 2**20


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
    source: Source,
    augment: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    seed: int = 0,
    batch_size: int = 512,
    num_views: int = 4,
    start_step: int = 0,
    num_steps: Optional[int] = None,
    rows: Optional[tuple[int, int]] = None,
    on_device: bool = False,
) -> tf.data.Dataset:
    """Batches of augmented views, from any step on.

    Element t is a pure function of (seed, t): a run that resumes at step s sees exactly what the
    uninterrupted one would have seen, whatever the parallelism. Images of skipped steps are neither
    decoded nor augmented.

    Args:
      source: images, from `open_source`.
      augment: {"images": uint8 [B, H, W, 3], "draws": float32 [B, K, NUM_DRAWS]} → {"images": uint8
        [B, K, S, S, 3]}; it must treat every image by itself.
      seed: decides order and views.
      batch_size: images N in a step.
      num_views: views K of an image.
      start_step: first step, counted from the beginning of the run.
      num_steps: steps of the whole run, also counted from its beginning; without it, no end.
      rows: first row and end of the part of each batch that is wanted; without it, all N. Images
        of other rows are neither decoded nor augmented.
      on_device: leave to the training step what can wait for it: batches are then what
        `augment.views_of` takes, images and their draws or, where sizes differ, `augment.crop`'s.

    Returns:
      Prefetched data set of uint8 [N, K, S, S, 3], or fewer rows, of static shape.

    Raises:
      ValueError: fewer images than `batch_size`.
    """
    records = _records(source, seed, batch_size, start_step)
    if num_steps is not None:
        records = records.take(max(0, num_steps - start_step) * batch_size)
    views = batches_of(records, source, augment, seed, batch_size, num_views, rows, on_device)
    options = tf.data.Options()
    options.deterministic = True
    if num_steps is not None:
        # Keras learns the end of a data set of unknown length from the failure of a step, half of
        # which may have happened by then.
        length = max(0, num_steps - start_step)
        views = views.apply(tf.data.experimental.assert_cardinality(length))
    return views.with_options(options).prefetch(2)


def batches_of(
    records: tf.data.Dataset,
    source: Source,
    augment: Callable,
    seed: int,
    batch_size: int,
    num_views: int,
    rows: Optional[tuple[int, int]] = None,
    on_device: bool = False,
) -> tf.data.Dataset:
    """Batches of views of records in the order given; works inside `interleave`.

    Args:
      records: ((index, record), position), position counting all images since the run's beginning.
      source, augment, seed, batch_size, num_views, rows, on_device: as for `view_batches`.

    Returns:
      Data set of what `view_batches` returns.
    """
    num_rows = batch_size
    if rows is not None:
        num_rows = rows[1] - rows[0]
        records = records.filter(
            lambda _, position: (
                (position % batch_size >= rows[0]) & (position % batch_size < rows[1])
            )
        )
    images_per_epoch = steps_per_epoch(source.num_images, batch_size) * batch_size

    def decode_and_draw(record, position):
        index, stored = record
        epoch_views = views_seed(seed, position // images_per_epoch)
        draws = image_draws(epoch_views, index, num_views)
        return {"images": source.decode(stored), "draws": draws}

    def one(make):
        def made(record, position):
            item = decode_and_draw(record, position)
            batch = make({name: value[tf.newaxis] for name, value in item.items()})
            return tf.nest.map_structure(lambda tensor: tensor[0], batch)

        return made

    if source.image_shape is None:  # images of different sizes do not stack
        make = augment.crop if on_device else lambda inputs: augment(inputs)["images"]
        return _parallel_map(records, one(make)).batch(num_rows, drop_remainder=True)
    items = _parallel_map(records, decode_and_draw)
    if on_device:
        return items.batch(num_rows, drop_remainder=True)
    return _augment_in_chunks(items, augment, num_rows)


def _records(source: Source, seed: int, batch_size: int, start_step: int) -> tf.data.Dataset:
    """((index, record), position) from `start_step` on, without end; position counts all images."""
    steps = steps_per_epoch(source.num_images, batch_size)
    first_epoch, skipped_steps = divmod(start_step, steps)

    def one_epoch(epoch):
        skipped = skipped_steps * batch_size
        first = tf.where(epoch == first_epoch, tf.constant(skipped, tf.int64), 0)
        return source.ordered(order_seed(seed, epoch), first).take(steps * batch_size - first)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    positions = tf.data.Dataset.range(start_step * batch_size, tf.int64.max)
    return tf.data.Dataset.zip((epochs.flat_map(one_epoch), positions))


def _augment_in_chunks(items: tf.data.Dataset, augment: Callable, batch_size: int):
    """{"images", "draws"} of single images → uint8 [N, K, S, S, 3]."""
    height, width, _ = items.element_spec["images"].shape
    views_bytes = items.element_spec["draws"].shape[0] * height * width * 3 * 4
    most = min(max(1, _CHUNK_BYTES // views_bytes), batch_size)
    chunk = max(n for n in range(1, most + 1) if batch_size % n == 0)
    chunks = items.batch(chunk, drop_remainder=True)
    views = _parallel_map(chunks, lambda chunk_items: augment(chunk_items)["images"])
    if chunk == batch_size:
        return views
    stacked = views.batch(batch_size // chunk, drop_remainder=True)  # [N / chunk, chunk, K, ...]
    return stacked.map(lambda v: tf.reshape(v, [batch_size, *v.shape[2:]]))


def _parallel_map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    # AutoGraph takes seconds at every start, and no function here has Python control flow.
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
