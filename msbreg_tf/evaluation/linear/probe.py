"""Linear classification of frozen features (supplement 2.1), and transfer by it (2.4).

The supplement names the protocol, but no numbers. **[decided]**, as BYOL's appendix does it:
momentum SGD with a cosine schedule; learning rate and weight decay are chosen on a part of the
*training* split that is set aside; then a classifier is trained on the whole training split, and
tested once. `choose_point` is never given the test split.

**[decided]** Features are computed once, of the central crop, without augmentation: that takes one
pass over the images instead of one for every epoch. They are standardised, so that one grid fits
every encoder, in place of the batch norm without scale that Goyal et al. (2019) put before their
classifiers.

For transfer (supplement 2.4: Places205, iNaturalist 2018) the recipe is fixed: a grid of one point,
from which nothing is chosen.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from msbreg_tf.data.labelled.records import check_labelled
from msbreg_tf.evaluation.accuracy import top_k
from msbreg_tf.evaluation.labels import check_classes, check_lengths
from msbreg_tf.evaluation.linear.classifiers import Classifiers, fit_classifiers
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.rows import check_finite
from msbreg_tf.evaluation.subsets import stratified_holdout

_AGREEMENT = 0.01  # relative difference of training objectives that counts as the same


@dataclasses.dataclass(frozen=True)
class Choice:
    """A point of the grid, and how it came to be chosen.

    Attributes:
      learning_rate, weight_decay: the point.
      validation_top1: {(learning rate, weight decay): fraction} of all points, 0 where training
        diverged; empty if there was but one point.
      at_edge: names of the halves of the grid at whose end the point lies.
      converged: whether its training objective and that of at least one other learning rate agree
        within 1 % of the lowest at this weight decay, where all have the same only minimum. If not,
        the number of epochs is part of the result. None if there is no other learning rate.
    """

    learning_rate: float
    weight_decay: float
    validation_top1: dict[tuple[float, float], float]
    at_edge: tuple[str, ...]
    converged: Optional[bool]

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; the validation accuracies as [rate, decay, fraction]."""
        grid = [[*point, top1] for point, top1 in self.validation_top1.items()]
        return dataclasses.asdict(self) | {"validation_top1": grid, "at_edge": list(self.at_edge)}


@dataclasses.dataclass(frozen=True)
class LinearResult:
    """Accuracy on the test split.

    Attributes:
      top1: 0 to 1.
      top5: 0 to 1; None with five classes or fewer.
      choice: the point of the grid it was trained with.
    """

    top1: float
    top5: Optional[float]
    choice: Choice


def linear_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    settings: LinearSettings,
    *,
    on_epoch: Optional[Callable[[str, int], None]] = None,
    resume_folder: Optional[str] = None,
) -> LinearResult:
    """Chooses on the training split, trains on all of it, tests once.

    Args:
      train_features: float32 [n, F], not normalised.
      train_labels: int64 [n].
      test_features: float32 [m, F].
      test_labels: int64 [m].
      settings: all.
      on_epoch: called with 'choosing' or 'training' and the number of epochs done.
      resume_folder: where interrupted training continues; it must belong to these very features
        and these settings.

    Raises:
      ValueError: features and labels that do not fit, fewer than two classes, missing labels, a
        class that only the test split has, features that are not finite, or settings under
        which every point diverges.
    """
    _check(train_features, train_labels, test_features, test_labels)
    progress = {"on_epoch": on_epoch, "resume_folder": resume_folder}
    choice = choose_point(train_features, train_labels, settings, **progress)
    point = (choice.learning_rate, choice.weight_decay)
    everything = np.arange(len(train_labels))
    classifiers = _fit(
        "training", train_features, train_labels, everything, [point], settings, **progress
    )
    ranks, losses = classifiers.ranks_and_losses(
        test_features, test_labels, np.arange(len(test_labels))
    )
    if not np.isfinite(losses).all():
        raise ValueError(_diverged([choice.learning_rate]))
    num_classes = classifiers.num_classes
    return LinearResult(top_k(ranks, num_classes, 1), top_k(ranks, num_classes, 5), choice)


def choose_point(
    features: np.ndarray,
    labels: np.ndarray,
    settings: LinearSettings,
    *,
    on_epoch: Optional[Callable[[str, int], None]] = None,
    resume_folder: Optional[str] = None,
) -> Choice:
    """Picks the point with the best top-1 on a held-out part of the training split.

    Of points with equal top-1 the one with the lower validation cross-entropy wins.

    Args and Raises: as `linear_probe`.
    """
    points = settings.points()
    if len(points) == 1:
        return Choice(*points[0], {}, (), None)
    kept, held = stratified_holdout(labels, settings.validation_fraction, settings.seed)
    progress = {"on_epoch": on_epoch, "resume_folder": resume_folder}
    classifiers = _fit("choosing", features, labels, kept, points, settings, **progress)
    ranks, losses = classifiers.ranks_and_losses(features, labels, held)
    top1 = np.where(np.isfinite(losses), (ranks == 0).mean(axis=0), 0)
    if not np.isfinite(losses).any():
        raise ValueError(_diverged(settings.learning_rates))
    best = min(range(len(points)), key=lambda g: (-top1[g], np.nan_to_num(losses[g], nan=np.inf)))
    _, train_losses = classifiers.ranks_and_losses(features, labels, kept)
    objectives = train_losses + classifiers.penalties()
    return Choice(
        *points[best],
        dict(zip(points, top1.tolist())),
        _edges(points[best], settings),
        _agrees(objectives, points, best),
    )


def _fit(
    stage: str,
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    points: Sequence[tuple[float, float]],
    settings: LinearSettings,
    *,
    on_epoch: Optional[Callable[[str, int], None]],
    resume_folder: Optional[str],
) -> Classifiers:
    """`fit_classifiers`, with the stage in the progress and in the folder."""

    def show(done: int) -> None:
        if on_epoch is not None:
            on_epoch(stage, done)

    folder = None if resume_folder is None else os.path.join(resume_folder, stage)
    return fit_classifiers(
        features, labels, rows, points, settings, on_epoch=show, resume_folder=folder
    )


def _agrees(objectives: np.ndarray, points: list[tuple[float, float]], best: int) -> Optional[bool]:
    same = [g for g, (_, decay) in enumerate(points) if decay == points[best][1]]
    if len(same) == 1:
        return None
    limit = np.nanmin(objectives[same]) * (1 + _AGREEMENT)
    return bool(objectives[best] <= limit and (objectives[same] <= limit).sum() > 1)


def _edges(point: tuple[float, float], settings: LinearSettings) -> tuple[str, ...]:
    halves = {"learning_rates": settings.learning_rates, "weight_decays": settings.weight_decays}
    return tuple(
        name
        for (name, values), value in zip(halves.items(), point)
        if len(values) > 1 and value in (min(values), max(values))
    )


def _diverged(learning_rates) -> str:
    rates = ",".join(map(str, learning_rates))
    return f"--learning_rates={rates}: training diverged. Use smaller ones, or --standardize."


def _check(train_features, train_labels, test_features, test_labels) -> None:
    for name, features, labels in (
        ("training", train_features, train_labels),
        ("test", test_features, test_labels),
    ):
        check_lengths(name, features, labels)
        check_labelled(labels, f"the {name} split")
        check_finite(features, f"{name} features")
    if train_features.shape[1:] != test_features.shape[1:]:
        raise ValueError(
            f"training features of size {train_features.shape[1]} and test features of size "
            f"{test_features.shape[1]}: they are not of the same encoder."
        )
    check_classes(train_labels, test_labels)
