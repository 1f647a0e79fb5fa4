"""Several devices on one CPU, so that replicas can be tried without GPUs."""

import tensorflow as tf


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
