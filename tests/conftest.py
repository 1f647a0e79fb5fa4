"""Two logical CPU devices for every test, so that two replicas can be compared with one."""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import pytest  # isort: skip
import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip

from msbreg_tf.evaluation import exporting  # isort: skip
from msbreg_tf.run import build as assembly  # isort: skip

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

# An export runs its warm-up requests, for a second or two; tests/evaluation/serving/ lets it.
exporting.replay_warmup = lambda folder: 0


@pytest.fixture(autouse=True)
def _clean_keras():
    """Starts each test from the same seed and precision, whatever the one before left behind."""
    keras.backend.clear_session()
    keras.mixed_precision.set_global_policy("float32")
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def mirrored() -> tf.distribute.Strategy:
    """The process's MirroredStrategy on the two logical CPU devices."""
    return assembly.mirrored(tuple(d.name for d in tf.config.list_logical_devices("CPU")))
