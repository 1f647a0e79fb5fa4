"""Keras callbacks of a pretraining run."""

from msbreg_tf.callbacks.guards import SaveCheckpoints, StopOnNonFinite
from msbreg_tf.callbacks.monitors import LogMetrics, PeriodicKNN, Progress, TensorBoardLog
from msbreg_tf.callbacks.optimization import LARS, WarmupCosine

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
