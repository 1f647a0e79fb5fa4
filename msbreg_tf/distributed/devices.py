"""What computes: its name, what the CPU has instructions for, and how the CPU is split."""

import contextlib
import os
import platform

import tensorflow as tf

# Instructions that multiply bfloat16, by the names that Linux gives them.
_OF_BFLOAT16 = ("amx_bf16", "avx512_bf16")


def bfloat16_instructions(path: str = "/proc/cpuinfo") -> str:
    """The CPU's instructions that multiply bfloat16, twice as fast as float32: "AVX512_BF16".

    Empty where there are none, as far as it is known: macOS and Windows have no such file. Without
    them TensorFlow emulates bfloat16, slowly.
    """
    with contextlib.suppress(OSError), open(path) as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
        return next((name.upper() for name in _OF_BFLOAT16 if name in flags), "")
    return ""


def hardware() -> str:
    """Processor, usable cores and the GPUs that TensorFlow sees, in one line."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    seen = f"GPUs: {', '.join(map(str, names))}" if names else "no GPU visible to TensorFlow"
    return f"{cores} core{'s' * (cores != 1)} of {_processor()}; {seen}"


def _processor(path: str = "/proc/cpuinfo") -> str:
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def split_cpu(count: int) -> None:
    """Splits the CPU into `count` logical devices and hides GPUs; 1 leaves everything as it is.

    It must run before TensorFlow's first operation; a second call with the same count changes
    nothing.

    Raises:
      ValueError: TensorFlow already works with another number of devices.
    """
    if count == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    present = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(present) == count and not tf.config.get_visible_devices("GPU"):
        return
    try:
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ValueError(
            f"--cpu_devices={count}: TensorFlow already works with {len(present)} in this process. "
            "Give the flag when the process starts."
        ) from error
