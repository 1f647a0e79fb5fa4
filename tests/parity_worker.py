"""Records a tiny model's steps on any number of CPU devices, in a process of its own.

python -m tests.parity_worker REPLICAS OUTPUT.npz
"""

import sys

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

from msbreg_tf.run import build as assembly  # isort: skip
from msbreg_tf.run.parity import comparing, recording  # isort: skip
from msbreg_tf.distributed.devices import split_cpu  # isort: skip
from tests.tiny import tiny_model, tiny_views  # isort: skip


def batches() -> np.ndarray:
    """uint8 [steps, N, K, 8, 8, 3]."""
    return np.stack(list(tiny_views(batch=16, steps=recording.STEPS)))


def record(strategy, views=None, synchronized=True) -> comparing.Record:
    """A tiny model's steps on the replicas of `strategy`."""
    return recording.record_steps(
        lambda: tiny_model(synchronized=synchronized, tau_base=0.9),
        strategy,
        batches() if views is None else views,
    )


if __name__ == "__main__":
    split_cpu(int(sys.argv[1]))
    names = tuple(device.name for device in tf.config.list_logical_devices("CPU"))
    comparing.save_record(sys.argv[2], record(assembly.mirrored(names)))
