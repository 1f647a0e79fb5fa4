"""Linear SVMs on frozen features, one per class: the VOC07 protocol (METHOD.md, "Evaluation").

VISSL's settings, which the supplement refers to (its SVM trainer: features over their norm, squared
hinge, l2, dual, 2,000 iterations, three folds).
"""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Optional

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from msbreg_tf.evaluation.svm.average_precision import average_precision, average_precision_11

COSTS = (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0)
FOLDS = 3
MAX_ITERATIONS = 2000
CLASS_WEIGHT = {1: 2, -1: 1}

PRESENT, DIFFICULT = 1, 0  # of targets, see data/labelled/multilabel.py


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """One class's SVM.

    Attributes:
      average_precision: on the test images, all-point interpolated, 0 to 1.
      average_precision_11: the same at 11 points.
      cost: C, chosen by cross-validation; of equal ones the smallest.
      cross_validation: mean average precision over the folds, one for each C of the grid.
      converged: whether the chosen SVM converged within 2,000 iterations.
    """

    average_precision: float
    average_precision_11: float
    cost: float
    cross_validation: tuple[float, ...]
    converged: bool


def svm_results(
    train_features: np.ndarray,
    train_targets: np.ndarray,
    test_features: np.ndarray,
    test_targets: np.ndarray,
    *,
    costs: Sequence[float] = COSTS,
    jobs: int = 1,
    names: Optional[Sequence[str]] = None,
    done: Optional[Mapping[int, ClassResult]] = None,
    on_class: Optional[Callable[[int, ClassResult], None]] = None,
) -> dict[int, ClassResult]:
    """Trains and tests one SVM per class.

    An image whose only objects of a class are difficult is a negative of that class in training,
    and left out of its test.

    Args:
      train_features: float [n, F], not normalised.
      train_targets: int [n, C]: 1 present, 0 difficult only, −1 absent.
      test_features: float [m, F].
      test_targets: int [m, C].
      costs: the grid of C.
      jobs: classes at once, each in a process of its own; the result does not depend on it.
      names: of the classes, for errors.
      done: results of classes that need not be computed again.
      on_class: called with (class, its result) as each class is finished, in this process.

    Returns:
      {class: result} in the order of the classes; their mean is the mAP.

    Raises:
      ValueError: shapes don't match, features not finite, fewer than three images of a class to
        train on, none to test on, or no negatives.
    """
    names = names or [str(column) for column in range(train_targets.shape[1])]
    _check(train_features, train_targets, test_features, test_targets, names)
    train, test = normalised(train_features), normalised(test_features)
    results = dict(done or {})
    tasks = (
        joblib.delayed(_numbered)(
            column, train, train_targets[:, column], test, test_targets[:, column], tuple(costs)
        )
        for column in range(train_targets.shape[1])
        if column not in results
    )
    # Processes, because liblinear has one global stream of random numbers: threads would share it.
    for column, result in joblib.Parallel(jobs, return_as="generator_unordered")(tasks):
        results[column] = result
        if on_class:
            on_class(column, result)
    return dict(sorted(results.items()))


def svm_of_class(
    train: np.ndarray,
    train_target: np.ndarray,
    test: np.ndarray,
    test_target: np.ndarray,
    costs: Sequence[float] = COSTS,
) -> ClassResult:
    """Chooses C by cross-validation, trains on all training images, tests.

    Args:
      train: float64 [n, F], `normalised`.
      train_target: int [n]: 1 present, 0 difficult only, −1 absent.
      test: float64 [m, F], `normalised`.
      test_target: int [m].
      costs: the grid of C.
    """
    label = np.where(train_target == PRESENT, 1, -1)
    scores = [
        float(
            np.mean(
                cross_val_score(_svm(cost), train, label, cv=FOLDS, scoring="average_precision")
            )
        )
        for cost in costs
    ]
    best = costs[int(np.argmax(scores))]
    svm = _svm(best).fit(train, label)
    counted = test_target != DIFFICULT
    decision = svm.decision_function(test[counted])
    positive = test_target[counted] == PRESENT
    return ClassResult(
        average_precision=average_precision(decision, positive),
        average_precision_11=average_precision_11(decision, positive),
        cost=float(best),
        cross_validation=tuple(scores),
        converged=bool(np.max(svm.n_iter_) < MAX_ITERATIONS),
    )


def normalised(features: np.ndarray) -> np.ndarray:
    """Rows over (their norm + 1e-5), float64 [n, F]."""
    features = np.asarray(features, np.float64)
    return features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5)


def _numbered(column: int, *arguments) -> tuple[int, ClassResult]:
    with warnings.catch_warnings():  # told by `converged`; with large C it is the rule
        warnings.simplefilter("ignore", ConvergenceWarning)
        return column, svm_of_class(*arguments)


def _svm(cost: float) -> LinearSVC:
    return LinearSVC(
        C=cost,
        class_weight=CLASS_WEIGHT,
        penalty="l2",
        loss="squared_hinge",
        dual=True,
        tol=1e-4,
        max_iter=MAX_ITERATIONS,
        random_state=0,  # of the order in which coordinates are visited
    )


def _check(train_features, train_targets, test_features, test_targets, names) -> None:
    for split, features, targets in (
        ("train", train_features, train_targets),
        ("test", test_features, test_targets),
    ):
        if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
            raise ValueError(
                f"{split} features {features.shape} for targets {targets.shape}: expected [n, F] "
                "and [n, C]."
            )
        if targets.shape[1] != len(names):
            raise ValueError(f"{split} targets of {targets.shape[1]} classes, not {len(names)}.")
        if not np.isfinite(features).all():
            raise ValueError(
                f"{split} features are not all finite. The encoder is broken; choose an earlier "
                "export."
            )
        needed = FOLDS if split == "train" else 1
        for column, name in enumerate(names):
            count = np.sum(targets[:, column] == PRESENT)
            if count < needed:
                raise ValueError(
                    f"class {name}: {count} positive {split} images, at least {needed} are needed. "
                    "Use more images."
                )
            if split == "train" and len(targets) - count < FOLDS:
                raise ValueError(
                    f"class {name}: {len(targets) - count} negative train images, at least {FOLDS} "
                    "are needed. Use more images."
                )
