"""What a run logs: the callbacks that write it, and the labelled images that some of them need."""

import os
from collections.abc import Mapping
from typing import Any, Optional

from tensorflow import keras

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.data.labelled.arrays import labelled_images
from msbreg_tf.data.pipeline.probe import probe_views
from msbreg_tf.data.sources.source import Source
from msbreg_tf.data.sources.table import labelled_splits
from msbreg_tf.errors import NoLabelsError, note
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.files.workdir import Workdir
from msbreg_tf.run.callbacks.monitors import (
    LogMetrics,
    LogSchedule,
    PeriodicKNN,
    PeriodicNeighbours,
    Progress,
    TensorBoardLog,
)
from msbreg_tf.run.callbacks.quality import PeriodicQuality
from msbreg_tf.run.config import Config
from msbreg_tf.run.length import Length

_PICTURES = 1024  # compared with one another where there are no labels


def knn_data(config: Config) -> Optional[list]:
    """(train, test) of the periodic k-NN, each (images, labels); None if there is to be none.

    Images without labels are no error: something else is then measured in its place.
    """
    data, run = config.data, config.run
    if not run.knn_every:
        return None
    splits = {flag: getattr(run, flag) for flag in ("knn_train_split", "knn_test_split")}
    try:
        opened = labelled_splits(
            data.dataset, splits, data.data_dir, run.knn_images, data.max_megapixels
        )
        return [labelled_images(split, data.image_size) for split in opened]
    except NoLabelsError as error:
        note(
            f"--knn_every={run.knn_every} without labels ({str(error).rstrip('.')}): measures how "
            "often a view's nearest neighbour is another view of the same picture instead."
        )
        return None


def log_callbacks(
    config: Config,
    workdir: Workdir,
    source: Source,
    augment: MultiViewAugmentation,
    length: Length,
    first_step: int,
    changed: Mapping[str, Any],
    knn: Optional[list],
) -> list[keras.callbacks.Callback]:
    """The callbacks that show and write how training goes, from `first_step` on.

    Args:
      config: the run's settings.
      workdir: where they write.
      source: the images.
      augment: makes views of some of them.
      length: of the run.
      first_step: what is logged of later steps is removed.
      changed: what `Workdir.claim` returned.
      knn: what `knn_data` returned.
    """
    run, num_views = config.run, config.objective.num_views
    file = MetricsFile(workdir.file("metrics.jsonl"))
    if first_step and not os.path.exists(file.path):
        note(f"{file.path} is gone: it begins again after step {first_step:,}.")
    file.drop_after(first_step)
    if changed:
        words = [f"--{name} from {old} to {new}" for name, (old, new) in changed.items()]
        note(f"changed after step {first_step:,}: {', '.join(words)}.")
        file.append(first_step, {"changed": dict(changed)})
    schedule = LogSchedule(run.log_every, length.total_steps)
    probe = probe_views(source, augment, seed=run.seed, num_views=num_views)
    board = TensorBoardLog(
        workdir.file("tensorboard"),
        schedule,
        length.steps_per_epoch,
        config.optimizer.batch_size,
        probe,
    )
    return [
        Progress(length.total_steps, config.optimizer.batch_size),
        LogMetrics(file, schedule, length.steps_per_epoch),
        board,
        *_evaluations(config, source, augment, length, knn, file, board),
    ]


def _evaluations(
    config: Config,
    source: Source,
    augment: MultiViewAugmentation,
    length: Length,
    knn: Optional[list],
    file: MetricsFile,
    board: TensorBoardLog,
) -> list[keras.callbacks.Callback]:
    """What measures the encoder every few epochs."""
    run, num_views = config.run, config.objective.num_views

    def fixed_views(count: int):
        """Of the first images, uint8 [n, K, S, S, 3]."""
        return probe_views(source, augment, seed=run.seed, num_views=num_views, count=count)[1]

    found = []
    if knn is not None:
        found.append(PeriodicKNN(file, run.knn_every, length.steps_per_epoch, *knn))
    elif run.knn_every:
        views = fixed_views(min(_PICTURES, run.knn_images))
        found.append(PeriodicNeighbours(file, run.knn_every, length.steps_per_epoch, views))
    if run.quality_every:
        views = fixed_views(run.quality_images)
        every = run.quality_every
        found.append(PeriodicQuality(file, board, every, length.steps_per_epoch, views))
    return found
