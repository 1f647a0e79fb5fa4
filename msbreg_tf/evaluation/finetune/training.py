"""Fine-tuning with few labels or all (supplement 2.2), following BYOL's protocol.

From the supplement: SGD with Nesterov momentum 0.9, batches of 1024; for 1 % of ImageNet the
classifier's learning rate is 2.0 and the encoder is frozen; for 10 % they are 0.25 and 2.5e-4.

**[decided]**, because the supplement refers to BYOL: 50 epochs (BYOL tries 30 and 50), cosine to 0,
no weight decay and no label smoothing. Training images are random crops of area 0.08–1, flipped
half of the time (SimCLR's fine-tuning); test images are the central crop. Learning rates are as
stated, not scaled by the batch size. Batch norm of an encoder that learns uses the statistics of
the batch; a frozen encoder keeps its own. The test split is looked at once, after the last epoch.

Those numbers are ImageNet's, and stand in flags/eval/. By default batch size and epochs follow the
number of images, the rates are chosen as `choosing.py` says, and the classifier starts at a linear
probe (Kumar et al. 2022), which keeps features of few labels from being spoilt by a random one.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.operations.table import only
from msbreg_tf.data.labelled.epochs import (
    LabelledSource,
    broken_rows,
    central_images,
    select_rows,
    training_batches,
)
from msbreg_tf.data.labelled.records import check_none_lost, read_labels
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.errors import RunFailedError, note_broken, one_line
from msbreg_tf.evaluation.accuracy import top_k
from msbreg_tf.evaluation.finetune.model import FineTuner, saved_state
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.labels import check_classes
from msbreg_tf.evaluation.subsets import class_balanced
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.files.whole import fingerprint

_TESTED_AT_ONCE = 256
Head = tuple[np.ndarray, np.ndarray]  # kernel [F, C] and bias [C] of a classifier


@dataclasses.dataclass(frozen=True)
class LabelledSplits:
    """What is trained and tested on.

    Attributes:
      train_split: the training split.
      train_labels: int64 [n], all of its labels.
      rows: int64, positions in it of the images that are trained on.
      train: these images.
      test: the test split.
      test_labels: int64 [m], all of its labels.
      test_fingerprint: 16 hexadecimal digits, of these labels and of some pixels.
      classes: name of each of the C labels.
    """

    train_split: LabelledRecords
    train_labels: np.ndarray
    rows: np.ndarray
    train: LabelledSource
    test: LabelledRecords
    test_labels: np.ndarray
    test_fingerprint: str
    classes: Sequence[str]

    @property
    def num_classes(self) -> int:
        """C, of the whole training split."""
        return len(self.classes)


@dataclasses.dataclass(frozen=True)
class FineTuneResult:
    """Accuracy on the test split.

    Attributes:
      top1: 0 to 1.
      top5: 0 to 1; None with five classes or fewer.
      test_images: how many there were that could be read.
    """

    top1: float
    top5: Optional[float]
    test_images: int


def open_splits(
    train: LabelledRecords, test: LabelledRecords, settings: FineTuneSettings
) -> LabelledSplits:
    """Reads the labels and chooses the fraction to train on; names files that can't be read.

    Args:
      train: the training split.
      test: the test split.
      settings: `fraction`, `seed` and `cache_mb` decide.

    Raises:
      ValueError: no images, missing labels, one class only, a class that only `test` has, one of
        which no image can be read, or a fraction of fewer images than classes.
    """
    labels, test_labels = read_labels(train), read_labels(test)
    check_classes(labels, test_labels)
    chosen = class_balanced(labels, settings.fraction, settings.seed)
    rows = _readable(train, labels, chosen)
    selected = select_rows(train, labels, rows, cache_mb=settings.cache_mb)
    test_fingerprint = fingerprint(test_labels.tobytes(), test.pixels)
    classes = train.classes[: int(labels.max()) + 1]
    return LabelledSplits(
        train, labels, rows, selected, test, test_labels, test_fingerprint, classes
    )


def _readable(data: LabelledRecords, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of the chosen rows that can be read."""
    broken = broken_rows(data, rows)
    if len(broken):
        places = np.searchsorted(rows, broken)
        check_none_lost(labels[rows], places, data.classes, data.name)
        note_broken(data.name, [data.files[row] for row in broken], len(rows))
    return np.setdiff1d(rows, broken)


def build_fine_tuner(
    encoder: keras.Model,
    num_classes: int,
    num_images: int,
    settings: FineTuneSettings,
    start: Optional[Head] = None,
) -> FineTuner:
    """The compiled model.

    Args:
      encoder: images in 0–255 → features; trained on unless the settings freeze it.
      num_classes: C.
      num_images: in an epoch; it decides the length of the schedule.
      settings: with a number for each.
      start: where the classifier starts; None for random weights.
    """
    steps = settings.epochs * (num_images // min(settings.batch_size, num_images))

    def sgd(learning_rate):
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        # Without XLA, whose compilation takes longer than all the updates of a short training.
        return keras.optimizers.SGD(
            schedule, momentum=settings.momentum, nesterov=True, jit_compile=False
        )

    model = FineTuner(encoder, num_classes, settings.seed, start)
    body = sgd(settings.encoder_lr) if settings.encoder_lr else None
    model.compile(sgd(settings.classifier_lr), body)
    return model


def fine_tune(
    encoder: keras.Model,
    splits: LabelledSplits,
    settings: FineTuneSettings,
    *,
    image_size: int,
    folder: str,
    start: Optional[Head] = None,
    on_epoch: Optional[Callable[[int, dict[str, Any]], None]] = None,
) -> FineTuner:
    """Trains from wherever `folder` stands; `accuracy_on` tests.

    The weights, the momentum of both optimizers and so all that follows are, on a CPU, bit for bit
    those of an uninterrupted run: an epoch depends on (seed, epoch) alone.

    Args:
      encoder: pretrained; its weights change.
      splits: the data.
      settings: with a number for each.
      image_size: side S.
      start: where the classifier starts; None for random weights.
      folder: for checkpoints/, one at the end of every epoch, and metrics.jsonl.
      on_epoch: called with the number of epochs done and {"loss", "accuracy"} of the last one.

    Raises:
      RunFailedError: the loss is not finite, or an epoch can't be saved.
    """
    images = splits.train
    model = build_fine_tuner(encoder, splits.num_classes, len(images.labels), settings, start)
    checkpoints = Checkpoints(os.path.join(folder, "checkpoints"), saved_state(model), keep=2)
    metrics = MetricsFile(os.path.join(folder, "metrics.jsonl"))
    augment = MultiViewAugmentation(
        only("crop", "flip", crop_area_min=settings.crop_area_min),
        num_views=1,
        image_size=image_size,
    )
    done = checkpoints.restore_newest() or 0
    metrics.drop_after(done)
    for epoch in range(done, settings.epochs):
        logs = _train_epoch(model, images, augment, settings, epoch)
        metrics.append(epoch + 1, logs)
        try:
            checkpoints.save(epoch + 1)
        except (OSError, tf.errors.OpError) as error:
            raise RunFailedError(
                f"epoch {epoch + 1} can't be saved ({one_line(error)}). Make room in "
                f"{folder}, and start the same command again."
            ) from error
        if on_epoch:
            on_epoch(epoch + 1, logs)
    return model


def _train_epoch(
    model, images, augment, settings: FineTuneSettings, epoch: int
) -> dict[str, float]:
    batches = training_batches(
        images,
        augment,
        seed=settings.seed,
        epoch=epoch,
        batch_size=min(settings.batch_size, len(images.labels)),
    )
    history = model.fit(batches, verbose=0).history
    logs = {name: float(values[-1]) for name, values in history.items()}
    if not math.isfinite(logs["loss"]):
        raise RunFailedError(
            f"the loss is not finite in epoch {epoch + 1}. Start again in another --workdir with a "
            "smaller --classifier_lr or --encoder_lr."
        )
    return logs


def accuracy_on(
    model: FineTuner,
    data: LabelledRecords,
    labels: np.ndarray,
    *,
    image_size: int,
    centre_crop: float = 1.0,
    rows: Optional[np.ndarray] = None,
) -> FineTuneResult:
    """Tests on the central crops of a split.

    Args:
      model: trained.
      data: the split.
      labels: all of its labels.
      image_size: side S.
      centre_crop: see `central_images`.
      rows: only these images; None: all.

    Raises:
      ValueError: none of the images of a class can be read.
    """
    ranks, broken = [], []
    images = central_images(data, image_size=image_size, centre_crop=centre_crop, rows=rows)
    for positions, pixels, truth, good in images.batch(_TESTED_AT_ONCE).as_numpy_iterator():
        broken += positions[~good].tolist()
        if good.any():
            ranks.append(model.ranks(pixels[good], truth[good]).numpy())
    check_none_lost(labels, broken, data.classes, data.name)
    note_broken(data.name, [data.files[row] for row in broken], len(labels))
    ranks, classes = np.concatenate(ranks), model.classifier.units
    return FineTuneResult(top_k(ranks, classes, 1), top_k(ranks, classes, 5), len(ranks))
