"""In how many bits a run computes: what was asked for, or what this machine is fast at."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional, Union

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.distributed.devices import bfloat16_instructions

_FLOAT32, _BFLOAT16, _FLOAT16 = "float32", "mixed_bfloat16", "mixed_float16"


class Precision(NamedTuple):
    """One of Keras's policies, and why it was chosen.

    Attributes:
      policy: "float32", "mixed_bfloat16" or "mixed_float16".
      reason: in words, for the plan; empty if it was asked for.
    """

    policy: str
    reason: str = ""


def choose_precision(
    mixed: Union[bool, str], recorded: Optional[str] = None, cpu_devices: int = 1
) -> Precision:
    """The precision of `--mixed_precision`.

    Args:
      mixed: True, False or 'auto'.
      recorded: the policy that the run began with; 'auto' keeps it if this machine can.
      cpu_devices: if there are several, GPUs are not used.
    """
    gpus = tf.config.list_physical_devices("GPU") if cpu_devices == 1 else []
    if mixed == "auto":
        if recorded and (gpus or recorded != _FLOAT16):
            return Precision(recorded, "the run began with it")
        return of_gpus(_capabilities(gpus)) if gpus else of_cpu(bfloat16_instructions())
    if not mixed:
        return Precision(_FLOAT32)
    return Precision(_FLOAT16 if gpus else _BFLOAT16)


def of_gpus(capabilities: Sequence[Optional[tuple[int, int]]]) -> Precision:
    """What GPUs of these compute capabilities are fast at; the weakest of them decides.

    Args:
      capabilities: (major, minor) of each, None where it is not known; at least one.
    """
    if None in capabilities:
        return Precision(_FLOAT32, "a GPU does not tell its compute capability")
    major, minor = min(capabilities)
    name = f"the GPU has compute capability {major}.{minor}"
    if major >= 8:
        return Precision(_BFLOAT16, f"{name}, from 8 on with bfloat16")
    if major == 7:
        return Precision(_FLOAT16, f"{name}, with float16 and without bfloat16")
    return Precision(_FLOAT32, f"{name}, below 7")


def of_cpu(instructions: str) -> Precision:
    """What a CPU is fast at, by what `bfloat16_instructions` says of it."""
    if instructions:
        return Precision(_BFLOAT16, f"the CPU has {instructions}")
    return Precision(_FLOAT32, "the CPU has no instructions for bfloat16 that are known here")


@contextlib.contextmanager
def in_force(policy: str) -> Iterator[None]:
    """Sets Keras's policy in the body, and the caller's afterwards."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _capabilities(gpus) -> list[Optional[tuple[int, int]]]:
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [each.get("compute_capability") for each in details]
