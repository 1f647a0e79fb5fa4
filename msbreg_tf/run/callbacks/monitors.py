"""Callbacks that show how training goes: progress bar, `metrics.jsonl`, TensorBoard, k-NN.

All count in optimizer steps, so that a run resumed in the middle of an epoch logs what the
uninterrupted run would have logged.
"""

import math
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tqdm import tqdm

from msbreg_tf.data.images.grid import view_grid
from msbreg_tf.evaluation.features.extract import extract_features
from msbreg_tf.evaluation.knn import knn_accuracy
from msbreg_tf.evaluation.neighbours import same_picture
from msbreg_tf.evaluation.spectrum import effective_rank, singular_values
from msbreg_tf.files import event_files
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.method.model import MONITORS
from msbreg_tf.method.schedules import finished_steps
from msbreg_tf.run.clock import duration


class LogSchedule(NamedTuple):
    """The steps that are logged: each `every`-th, the first and the last."""

    every: int
    total_steps: int

    def __contains__(self, step: int) -> bool:
        return step % self.every == 0 or step in (1, self.total_steps)


class Progress(keras.callbacks.Callback):
    """A bar with loss terms, learning rate, images/s and time left; once, the estimated total."""

    _ESTIMATE_AFTER = 20  # steps: the first ones include tracing and filling the pipeline

    def __init__(self, total_steps: int, batch_size: int):
        super().__init__()
        self.total_steps = total_steps
        self.batch_size = batch_size
        self._bar = None
        self._started = None

    def on_train_begin(self, logs=None):
        done = finished_steps(self.model)
        quiet = not sys.stderr.isatty()
        self._bar = tqdm(
            total=self.total_steps,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            mininterval=30 if quiet else 0.5,
        )
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        self._bar.update(1)
        if self._steps == 2:
            self._started = time.monotonic()
        elif self._steps == self._ESTIMATE_AFTER + 2:
            self._print_estimate()
        if self._started and self._bar.n == self._bar.last_print_n:  # the bar was just drawn
            self._bar.set_postfix_str(self._describe(logs), refresh=False)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def _rate(self) -> float:
        return (self._steps - 2) / max(time.monotonic() - self._started, 1e-9)

    def _describe(self, logs) -> str:
        terms = [
            f"{name} {value:.4g}"
            for name, value in logs.items()
            if name not in MONITORS and not name.startswith("trust_ratio")
        ]
        lr = float(self.model.optimizer.learning_rate.numpy())
        return ", ".join([*terms, f"lr {lr:.3g}", f"{self._rate() * self.batch_size:.0f} images/s"])

    def _print_estimate(self) -> None:
        left = (self.total_steps - self._bar.n) / self._rate()
        self._bar.write(
            f"Estimated time left: {duration(left)} for {self.total_steps - self._bar.n:,} steps "
            f"at {self._rate() * self.batch_size:,.0f} images/s."
        )


class LogMetrics(keras.callbacks.Callback):
    """Writes the values of the steps in `schedule`, and the learning rate, to `metrics.jsonl`."""

    def __init__(self, file: MetricsFile, schedule: LogSchedule, steps_per_epoch: int):
        super().__init__()
        self.file = file
        self.schedule = schedule
        self.steps_per_epoch = steps_per_epoch

    def on_train_batch_end(self, batch, logs=None):
        step = finished_steps(self.model)
        if step in self.schedule:
            epoch = step / self.steps_per_epoch
            lr = float(self.model.optimizer.learning_rate.numpy())
            # A step that loss scaling skipped has no finite gradient, and NaN is not JSON.
            values = {k: float(v) if math.isfinite(v) else None for k, v in logs.items()}
            self.file.append(step, {"epoch": epoch, **values, "learning_rate": lr})


class TensorBoardLog(keras.callbacks.Callback):
    """Scalars of some steps, the spectrum of fixed views every epoch, the views once."""

    def __init__(
        self, logdir: str, schedule: LogSchedule, steps_per_epoch: int, batch_size: int, probe
    ):
        """Takes `probe`: (images uint8 [b, S, S, 3], their views uint8 [b, K, S, S, 3])."""
        super().__init__()
        self.logdir = logdir
        self.schedule = schedule
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.images, self.views = probe
        self._writer = None
        self._last = None

    def on_train_begin(self, logs=None):
        step = finished_steps(self.model)
        event_files.drop_after(self.logdir, step if step else -1)
        self._writer = tf.summary.create_file_writer(self.logdir)
        if step == 0:
            with self._writer.as_default(step=step):
                tf.summary.image("views", view_grid(self.images[:8], self.views[:8])[None])

    def on_train_batch_end(self, batch, logs=None):
        step = finished_steps(self.model)
        with self._writer.as_default(step=step):
            if step in self.schedule:
                self._write_scalars(step, logs)
            if step % self.steps_per_epoch == 0:
                self._write_spectrum()
        self._writer.flush()  # before the step's checkpoint is saved

    def on_train_end(self, logs=None):
        self._writer.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes what another callback has measured after a step, at once."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def _write_scalars(self, step: int, logs) -> None:
        for name, value in logs.items():
            tf.summary.scalar(f"train/{name}", value)
        tf.summary.scalar("train/learning_rate", self.model.optimizer.learning_rate)
        now = time.monotonic()
        if self._last is not None:
            steps = step - self._last[0]
            rate = steps * self.batch_size / (now - self._last[1])
            tf.summary.scalar("throughput/images_per_second", rate)
        self._last = (step, now)

    def _write_spectrum(self) -> None:
        prediction, _ = self.model.embed(tf.constant(self.views))
        values = singular_values(prediction.numpy())
        tf.summary.histogram("spectrum/singular_values", values)
        tf.summary.scalar("spectrum/effective_rank", effective_rank(values))


class PeriodicMeasure(keras.callbacks.Callback):
    """What is measured on the online encoder's features every `every` epochs."""

    def __init__(self, file: MetricsFile, every: int, steps_per_epoch: int):
        """Takes `file`, where the values go."""
        super().__init__()
        self.file = file
        self.every_steps = every * steps_per_epoch
        self._embed: Optional[tf.types.experimental.GenericFunction] = None

    def on_train_batch_end(self, batch, logs=None):
        step = finished_steps(self.model)
        if step % self.every_steps == 0:
            self.measure(step)

    def measure(self, step: int) -> None:
        """Measures after step `step`, writes the values and shows them."""
        raise NotImplementedError

    def features_of(self, images: np.ndarray) -> np.ndarray:
        """The encoder's features of uint8 [n, S, S, 3]: float32 [n, F]."""
        if self._embed is None:
            self._embed = tf.function(lambda batch: self.model(batch, training=False))
        return extract_features(self._embed, images)

    def features_of_views(self, views: np.ndarray) -> np.ndarray:
        """The encoder's features of uint8 [n, K, S, S, 3]: float32 [n, K, F]."""
        flat = views.reshape(-1, *views.shape[2:])  # [n·K, S, S, 3]
        return self.features_of(flat).reshape(*views.shape[:2], -1)


class PeriodicKNN(PeriodicMeasure):
    """k-NN accuracy of the online encoder every `every` epochs, into `metrics.jsonl`."""

    def __init__(self, file: MetricsFile, every: int, steps_per_epoch: int, train, test, k=20):
        """Takes `train` and `test` as (images uint8 [n, S, S, 3], labels int [n])."""
        super().__init__(file, every, steps_per_epoch)
        self.train, self.test = train, test
        self.k = min(k, len(train[1]))

    def measure(self, step):
        (train_images, train_labels), (test_images, test_labels) = self.train, self.test
        accuracy = knn_accuracy(
            self.features_of(train_images),
            train_labels,
            self.features_of(test_images),
            test_labels,
            k=[self.k],
        )[self.k]
        self.file.append(step, {f"knn{self.k}_top1": accuracy})
        tqdm.write(f"step {step}: {self.k}-NN top-1 {100 * accuracy:.1f} %", file=sys.stderr)


class PeriodicNeighbours(PeriodicMeasure):
    """Without labels: how often a view's nearest neighbour is another view of its picture."""

    def __init__(self, file: MetricsFile, every: int, steps_per_epoch: int, views):
        """Takes `views`: uint8 [n, K, S, S, 3] of n pictures."""
        super().__init__(file, every, steps_per_epoch)
        self.views = views

    def measure(self, step):
        share = same_picture(self.features_of_views(self.views))
        self.file.append(step, {"same_picture": share})
        text = f"step {step}: nearest neighbour is another view of the same picture"
        tqdm.write(f"{text} {100 * share:.1f} %", file=sys.stderr)
