"""What fine-tuning starts from and how fast it learns, from the training images alone.

A linear probe on the frozen features of the very images that are fine-tuned on is the result to
beat: it is reported beside, and its weights are where the classifier starts. Learning rates that
are not given are chosen on a fifth of these images that is set aside, in one training each; then
all of them are trained on.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any, Optional

import numpy as np
from tensorflow import keras

from msbreg_tf.data.labelled.epochs import central_images, select_rows
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.evaluation.accuracy import top_k
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.finetune.training import Head, LabelledSplits, accuracy_on, fine_tune
from msbreg_tf.evaluation.linear.classifiers import Classifiers, fit_classifiers
from msbreg_tf.evaluation.linear.probe import choose_point
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.subsets import stratified_holdout
from msbreg_tf.files.whole import write_text_whole

_HELD_OUT = 0.2
_AT_ONCE = 256
_POINT = (0.01, 1e-3)  # of the probe, where there is nothing to choose it on
_CHOICE = "rates.json"


class Probe:
    """Linear classifiers on the frozen features of the images that are fine-tuned on."""

    def __init__(
        self,
        embed: Callable[[np.ndarray], np.ndarray],
        splits: LabelledSplits,
        image_size: int,
        seed: int,
    ):
        """Embeds the images, and chooses learning rate and weight decay on a part of them.

        Args:
          embed: gives the frozen features, float32 [b, F], of images uint8 [b, S, S, 3].
          splits: the data.
          image_size: side S.
          seed: of the probe.
        """
        self._splits = splits
        self._settings = LinearSettings(seed=seed)
        self._labels = splits.train.labels
        self._features = _features(embed, splits.train_split, splits.rows, image_size)
        self._test = _features(embed, splits.test, None, image_size)
        self._point = _POINT
        if _parts(self._labels, seed) is not None:
            choice = choose_point(self._features, self._labels, self._settings)
            self._point = (choice.learning_rate, choice.weight_decay)

    def top1(self) -> float:
        """Accuracy on the test split, 0 to 1, of a probe trained on all the images."""
        good = np.flatnonzero(np.isfinite(self._test).all(axis=1))
        classifiers = self._fit(np.arange(len(self._labels)))
        ranks, _ = classifiers.ranks_and_losses(self._test, self._splits.test_labels, good)
        return top_k(ranks, classifiers.num_classes, 1)

    def head(self, places: Optional[np.ndarray] = None) -> Head:
        """Kernel and bias, for features as they are, of a probe trained on the images at `places`.

        Args:
          places: int [·], positions among the chosen images; None: all.
        """
        places = np.arange(len(self._labels)) if places is None else places
        classifiers = self._fit(places)
        scale, mean = classifiers.scale.numpy(), classifiers.mean.numpy()
        kernel = scale[:, None] * classifiers.kernel.numpy()
        return kernel, classifiers.bias.numpy() - mean @ kernel

    def _fit(self, places: np.ndarray) -> Classifiers:
        return fit_classifiers(self._features, self._labels, places, [self._point], self._settings)


def choose_rates(
    build: Callable[[], keras.Model],
    splits: LabelledSplits,
    settings: FineTuneSettings,
    probe: Optional[Probe],
    *,
    image_size: int,
    folder: str,
    on_epoch: Callable[[str, int, dict[str, Any]], None],
) -> tuple[FineTuneSettings, dict[str, float]]:
    """Settings with the learning rates that did best on images set aside.

    Args:
      build: makes the pretrained encoder anew.
      splits: the data; the test split is not looked at.
      settings: with a number for batch size and epochs; rates that are given are kept.
      probe: where classifiers start; None for random weights.
      image_size: side S.
      folder: of this very choice; an interrupted one continues from it.
      on_epoch: called with what is tried, the number of epochs done, and the last one's values.

    Returns:
      The settings, and {rates tried: top-1 in % on the images set aside}, empty if nothing was
      tried.
    """
    pairs = settings.rates()
    if len(pairs) == 1:
        return _with_rates(settings, *pairs[0]), {}
    parts = _parts(splits.train.labels, settings.seed)
    if parts is None:  # nothing can be set aside; the gentlest rates that train everything
        return _with_rates(settings, *pairs[min(1, len(pairs) - 1)]), {}
    kept, held = parts

    def top1(rates: tuple[float, float]) -> float:
        """In %, on the images set aside, after training on the others."""
        name = _named(rates)
        model = fine_tune(
            build(),
            _kept_only(splits, kept, settings),
            _with_rates(settings, *rates),
            image_size=image_size,
            folder=os.path.join(folder, name.replace(" ", "_")),
            start=None if probe is None else probe.head(kept),
            on_epoch=lambda done, logs: on_epoch(f"trying {name}", done, logs),
        )
        found = accuracy_on(
            model,
            splits.train_split,
            splits.train_labels,
            image_size=image_size,
            centre_crop=settings.centre_crop,
            rows=splits.rows[held],
        )
        return 100 * found.top1

    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, _CHOICE)
    tried = _read(path)
    for rates in pairs:
        if _named(rates) not in tried:
            tried[_named(rates)] = top1(rates)
            write_text_whole(path, json.dumps(tried))
    best = max(pairs, key=lambda rates: tried[_named(rates)])  # the first of equals
    return _with_rates(settings, *best), tried


def _named(rates: tuple[float, float]) -> str:
    return f"{rates[0]:g} and {rates[1]:g}"


def _with_rates(
    settings: FineTuneSettings, classifier_lr: float, encoder_lr: float
) -> FineTuneSettings:
    return dataclasses.replace(settings, classifier_lr=classifier_lr, encoder_lr=encoder_lr)


def _kept_only(
    splits: LabelledSplits, kept: np.ndarray, settings: FineTuneSettings
) -> LabelledSplits:
    train = select_rows(
        splits.train_split, splits.train_labels, splits.rows[kept], cache_mb=settings.cache_mb
    )
    return dataclasses.replace(splits, rows=splits.rows[kept], train=train)


def _parts(labels: np.ndarray, seed: int) -> Optional[tuple[np.ndarray, np.ndarray]]:
    """Places to train on and to choose by; None where every class has a single image."""
    try:
        return stratified_holdout(labels, _HELD_OUT, seed)
    except ValueError:
        return None


def _features(
    embed: Callable[[np.ndarray], np.ndarray],
    data: LabelledRecords,
    rows: Optional[np.ndarray],
    image_size: int,
) -> np.ndarray:
    """Features of central crops, float32 [n, F]; NaN where an image can't be read."""
    images = central_images(data, image_size=image_size, rows=rows).batch(_AT_ONCE)
    parts = []
    for _, pixels, _, good in images.as_numpy_iterator():
        part = embed(pixels)
        part[~good] = np.nan
        parts.append(part)
    return np.concatenate(parts)


def _read(path: str) -> dict[str, float]:
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):  # none yet
        return {}
