"""Many softmax classifiers on the same features, trained side by side by momentum SGD.

All points of a grid of learning rates and weight decays share every batch, so a step is one matrix
product of width G·C instead of G small ones. For point g, with x standardised or not:

    L_g = mean over rows of cross-entropy(W_gᵀ x + b_g) + β_g/2 ‖W_g‖²
    v ← μ v + ∇L_g,   (W_g, b_g) ← (W_g, b_g) − η_g s(t) v

from zero weights; biases do not decay. L_g is convex, strictly in W_g for β_g > 0, and its minimum
is that of scikit-learn's `LogisticRegression` with C = 1/(n β_g).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.errors import note, one_line
from msbreg_tf.evaluation.accuracy import rank_of_truth
from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.files.checkpoints import Checkpoints
from msbreg_tf.method.schedules import warmup_cosine

_BLOCK_BYTES = 2**26  # features copied at once
_SAVE_SECONDS = 60
_EPSILON = 1e-6


def rate_factor(step: int, total_steps: int, schedule: str) -> float:
    """s(t), what the learning rate is multiplied by.

    Args:
      step: steps done so far, 0 ≤ step < total_steps.
      total_steps: of the training.
      schedule: 'cosine' to 0; or 'steps', divided by 10 at 1/3 and at 2/3 of the steps
        (supplement 2.4).
    """
    if schedule == "cosine":
        return warmup_cosine(step, max_value=1.0, warmup_steps=0, total_steps=total_steps)
    return 0.1 ** (3 * step // total_steps)


class Classifiers(tf.Module):
    """G linear classifiers into C classes, with their momentum, and the scaling of the features."""

    def __init__(self, points: Sequence[tuple[float, float]], num_features: int, num_classes: int):
        """Starts at zero.

        Args:
          points: (learning rate η_g, weight decay β_g) of each.
          num_features: F.
          num_classes: C.
        """
        super().__init__()
        self.num_classes = num_classes
        self.num_points = len(points)
        columns = np.repeat(np.asarray(points, np.float32), num_classes, axis=0)  # [G·C, 2]
        self._rates, self._decays = tf.constant(columns[:, 0]), tf.constant(columns[:, 1])
        width = len(columns)
        self.kernel = tf.Variable(tf.zeros([num_features, width]))
        self.bias = tf.Variable(tf.zeros([width]))
        self._kernel_velocity = tf.Variable(tf.zeros([num_features, width]))
        self._bias_velocity = tf.Variable(tf.zeros([width]))
        self.mean = tf.Variable(tf.zeros([num_features]))
        self.scale = tf.Variable(tf.ones([num_features]))
        self.epoch = tf.Variable(0, dtype=tf.int64)

    @tf.function(reduce_retracing=True)
    def take_steps(self, features, labels, factors, momentum):
        """One step per batch: float32 [T, b, F], int64 [T, b], s(t) float32 [T], μ scalar."""
        for t in tf.range(tf.shape(factors)[0]):
            batch = self._scaled(features[t])
            kernel_gradient, bias_gradient = self._gradient(batch, labels[t])
            rates = self._rates * factors[t]
            self._kernel_velocity.assign(momentum * self._kernel_velocity + kernel_gradient)
            self._bias_velocity.assign(momentum * self._bias_velocity + bias_gradient)
            self.kernel.assign_sub(rates * self._kernel_velocity)
            self.bias.assign_sub(rates * self._bias_velocity)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int64)]
    )
    def _score_block(self, features, labels):
        logits = self._logits(self._scaled(features))  # [b, G, C]
        repeated = tf.repeat(labels[:, None], self.num_points, axis=1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(repeated, logits)
        return rank_of_truth(logits, repeated), losses

    def ranks_and_losses(self, features, labels, rows) -> tuple[np.ndarray, np.ndarray]:
        """Applies every classifier to the given rows.

        Args:
          features: float32 [n, F].
          labels: int64 [n], below C.
          rows: int [m].

        Returns:
          rank of the right class, int32 [m, G], see `rank_of_truth`; and mean cross-entropy,
          float64 [G].
        """
        ranks, losses = [], []
        for block in _blocks(rows, features.shape[1] + self.kernel.shape[1]):
            rank, loss = self._score_block(features[block], labels[block])
            ranks.append(rank.numpy())
            losses.append(loss.numpy().astype(np.float64).sum(axis=0))
        return np.concatenate(ranks), np.sum(losses, axis=0) / len(rows)

    def penalties(self) -> np.ndarray:
        """β_g/2 ‖W_g‖², float64 [G]."""
        terms = (self._decays * self.kernel**2 / 2).numpy().astype(np.float64)
        return terms.reshape(-1, self.num_points, self.num_classes).sum(axis=(0, 2))

    def _scaled(self, features):
        return (features - self.mean) * self.scale

    def _logits(self, scaled):
        logits = tf.matmul(scaled, self.kernel) + self.bias
        return tf.reshape(logits, [-1, self.num_points, self.num_classes])

    def _gradient(self, scaled, labels):
        """∇L of a batch: float32 [F, G·C] and [G·C]."""
        truth = tf.one_hot(labels, self.num_classes)[:, None]  # [b, 1, C]
        residual = tf.nn.softmax(self._logits(scaled)) - truth
        residual = tf.reshape(residual, [-1, self.num_points * self.num_classes])
        residual /= tf.cast(tf.shape(scaled)[0], tf.float32)
        of_kernel = tf.matmul(scaled, residual, transpose_a=True) + self._decays * self.kernel
        return of_kernel, tf.reduce_sum(residual, axis=0)


def fit_classifiers(
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    points: Sequence[tuple[float, float]],
    settings: LinearSettings,
    *,
    on_epoch: Optional[Callable[[int], None]] = None,
    resume_folder: Optional[str] = None,
) -> Classifiers:
    """Trains one classifier per point on the given rows.

    Args:
      features: float32 [n, F].
      labels: int64 [n]; the largest one says how many classes there are.
      rows: int [m], the rows to train on.
      points: (learning rate, weight decay) of each classifier.
      settings: epochs, batch_size, momentum, schedule, standardize and seed. An epoch takes the
        rows in an order of its own and leaves an incomplete last batch out.
      on_epoch: called with the number of epochs done.
      resume_folder: saves the state there about once a minute and continues from it. It must belong
        to this very training alone.

    Returns:
      The trained classifiers.
    """
    classifiers = Classifiers(points, features.shape[1], int(labels.max()) + 1)
    if settings.standardize:
        _standardize(classifiers, features, rows)
    checkpoints = _checkpoints(classifiers, resume_folder)
    batch = min(settings.batch_size, len(rows))
    steps = len(rows) // batch
    saved_at = time.monotonic()
    for epoch in range(int(classifiers.epoch), settings.epochs):
        shuffled = np.random.default_rng([settings.seed, epoch]).permutation(len(rows))
        order = rows[shuffled[: steps * batch]].reshape(steps, batch)
        _one_epoch(classifiers, features, labels, order, epoch, settings)
        classifiers.epoch.assign(epoch + 1)
        if on_epoch:
            on_epoch(epoch + 1)
        is_last = epoch + 1 == settings.epochs
        if checkpoints and (time.monotonic() - saved_at > _SAVE_SECONDS or is_last):
            saved_at = time.monotonic()
            try:
                checkpoints.save(epoch + 1)
            except (OSError, tf.errors.OpError) as error:
                note(f"{resume_folder}: can't be written ({one_line(error)}); going on without it.")
                checkpoints = None
    return classifiers


def _checkpoints(classifiers: Classifiers, folder: Optional[str]) -> Optional[Checkpoints]:
    """The checkpoints in `folder`, the newest of them restored; None where they can't be used."""
    if folder is None:
        return None
    try:
        checkpoints = Checkpoints(folder, tf.train.Checkpoint(state=classifiers), keep=1)
        checkpoints.restore_newest()
        return checkpoints
    except OSError as error:
        note(f"{folder}: can't be used ({one_line(error)}); going on without it.")
        return None


def _standardize(classifiers: Classifiers, features: np.ndarray, rows: np.ndarray) -> None:
    mean, deviation = _mean_and_deviation(features, rows)
    classifiers.mean.assign(mean)
    # A constant feature stays 0; a tiny one must not be blown up to noise.
    usable = deviation > _EPSILON * max(1.0, float(deviation.max()))
    classifiers.scale.assign(np.where(usable, 1 / np.where(usable, deviation, 1), 0))


def _one_epoch(
    classifiers: Classifiers,
    features: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    epoch: int,
    settings: LinearSettings,
) -> None:
    """One step for each row of `order`, int [T, b]."""
    steps, batch = order.shape
    total = settings.epochs * steps
    factors = np.array(
        [rate_factor(epoch * steps + step, total, settings.schedule) for step in range(steps)],
        np.float32,
    )
    steps_at_once = max(1, _BLOCK_BYTES // (4 * features.shape[1] * batch))
    for first in range(0, steps, steps_at_once):
        block = order[first : first + steps_at_once]
        classifiers.take_steps(
            features[block],  # [t, b, F]
            labels[block],
            factors[first : first + steps_at_once],
            settings.momentum,
        )


def _blocks(rows: np.ndarray, floats_per_row: int) -> Iterator[np.ndarray]:
    size = max(1, _BLOCK_BYTES // (4 * floats_per_row))
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _mean_and_deviation(features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per feature over the rows, float64 [F], without a copy of them all."""
    width = 3 * features.shape[1]
    mean = sum(features[block].sum(0, np.float64) for block in _blocks(rows, width)) / len(rows)
    squares = sum(np.square(features[block] - mean).sum(axis=0) for block in _blocks(rows, width))
    return mean, np.sqrt(squares / len(rows))
