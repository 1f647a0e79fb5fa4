"""Label-free measures of quality while a run trains, into `metrics.jsonl` and TensorBoard."""

import math
import sys
import time
from typing import Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tqdm import tqdm

from msbreg_tf.evaluation.features.extract import extract_features
from msbreg_tf.evaluation.neighbours import same_picture
from msbreg_tf.evaluation.quality import measure_quality
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.method.schedules import finished_steps
from msbreg_tf.run.callbacks.monitors import TensorBoardLog


class PeriodicQuality(keras.callbacks.Callback):
    """Measures the online encoder on fixed views of training images every `every` epochs.

    The views are the same at every epoch and after every start, so that only the encoder changes.
    """

    def __init__(
        self,
        file: MetricsFile,
        board: TensorBoardLog,
        every: int,
        steps_per_epoch: int,
        views: np.ndarray,
    ):
        """Takes `views`, uint8 [n, K, S, S, 3] of n pictures, and where the values go."""
        super().__init__()
        self.file = file
        self.board = board
        self.every_steps = every * steps_per_epoch
        self.views = views
        self._embed: Optional[tf.types.experimental.GenericFunction] = None

    def on_train_batch_end(self, batch, logs=None):
        step = finished_steps(self.model)
        if step % self.every_steps:
            return
        started = time.monotonic()
        values = self._measure()
        self.board.write(step, {f"quality/{name}": value for name, value in values.items()})
        # NaN is not JSON: a spectrum that is too short has no exponent.
        self.file.append(step, {k: v if math.isfinite(v) else None for k, v in values.items()})
        shown = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        took = time.monotonic() - started
        tqdm.write(f"step {step}: {shown} ({took:.1f} s)", file=sys.stderr)

    def _measure(self) -> dict[str, float]:
        if self._embed is None:
            self._embed = tf.function(lambda images: self.model(images, training=False))
        flat = self.views.reshape(-1, *self.views.shape[2:])  # [n·K, S, S, 3]
        features = extract_features(self._embed, flat).reshape(*self.views.shape[:2], -1)
        return {**measure_quality(features), "same_picture": same_picture(features)}
