"""Label-free measures of quality while a run trains, into `metrics.jsonl` and TensorBoard."""

import math
import sys
import time

import numpy as np
from tqdm import tqdm

from msbreg_tf.evaluation.neighbours import same_picture
from msbreg_tf.evaluation.quality import measure_quality
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.run.callbacks.monitors import PeriodicMeasure, TensorBoardLog


class PeriodicQuality(PeriodicMeasure):
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
        super().__init__(file, every, steps_per_epoch)
        self.board = board
        self.views = views

    def measure(self, step):
        started = time.monotonic()
        features = self.features_of_views(self.views)
        values = {**measure_quality(features), "same_picture": same_picture(features)}
        self.board.write(step, {f"quality/{name}": value for name, value in values.items()})
        # NaN is not JSON: a spectrum that is too short has no exponent.
        self.file.append(step, {k: v if math.isfinite(v) else None for k, v in values.items()})
        shown = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        took = time.monotonic() - started
        tqdm.write(f"step {step}: {shown} ({took:.1f} s)", file=sys.stderr)
