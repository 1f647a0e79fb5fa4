"""Keras callbacks of a pretraining run."""

from msbreg_tf.method.optimization import LARS, WarmupCosine
from msbreg_tf.run.callbacks.guards import SaveCheckpoints, StopOnNonFinite
from msbreg_tf.run.callbacks.monitors import LogMetrics, PeriodicKNN, Progress, TensorBoardLog

__all__ = [
    "LARS",
    "LogMetrics",
    "PeriodicKNN",
    "Progress",
    "SaveCheckpoints",
    "StopOnNonFinite",
    "TensorBoardLog",
    "WarmupCosine",
]
