"""The table of checks; a new one is a function and a row."""

from collections.abc import Callable
from typing import NamedTuple

from msbreg_tf.run.doctor import gpu, images, place, software
from msbreg_tf.run.doctor.finding import Finding, Subject


class Check(NamedTuple):
    """A row of `CHECKS`.

    Attributes:
      find: the check.
      needs_tensorflow: whether it is left out where TensorFlow can't be imported.
    """

    find: Callable[[Subject], Finding]
    needs_tensorflow: bool = True


# In the order of printing.
CHECKS = (
    Check(software.python, needs_tensorflow=False),
    Check(software.tensorflow, needs_tensorflow=False),
    Check(software.tensorboard, needs_tensorflow=False),
    Check(gpu.devices),
    Check(software.onednn, needs_tensorflow=False),
    Check(software.bfloat16),
    Check(software.xla),
    Check(place.workdir, needs_tensorflow=False),
    Check(place.disk),
    Check(place.cache),
    Check(place.open_files, needs_tensorflow=False),
    Check(place.clock, needs_tensorflow=False),
    Check(place.load, needs_tensorflow=False),
    Check(images.prepared, needs_tensorflow=False),
    Check(images.views),
)
