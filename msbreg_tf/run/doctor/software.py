"""Which Python, TensorFlow and Keras, and how this TensorFlow computes on a CPU."""

import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Optional

from msbreg_tf.errors import one_line
from msbreg_tf.run.doctor.finding import ATTENTION, FAILURE, OK, Finding, Subject

_INSTALL = "Install the environment again: make quickstart, or pip install . in a new one."


def python(_: Subject) -> Finding:
    """The interpreter and the machine."""
    cores = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    share = f"{ours} of its {cores} cores are" if ours < cores else f"all its {cores} cores are"
    system = f"{platform.system()} on {platform.machine()}"
    return Finding(
        "Python", OK, f"Python is {platform.python_version()}, the machine {system}; {share} ours."
    )


def tensorflow(_: Subject) -> Finding:
    """TensorFlow, the Keras that it uses, and the stack that they are."""
    try:
        import tensorflow as tf
        from tensorflow import keras
    except Exception as error:  # a missing file, a CPU without AVX, another package's NumPy
        found = f"TensorFlow can't be imported ({one_line(error)})."
        return Finding("TensorFlow", FAILURE, found, _INSTALL)
    # Keras 2 is the package keras, or tf_keras beside Keras 3; `tensorflow.keras` doesn't tell.
    package = sys.modules[keras.Model.__module__.partition(".")[0]]
    return stack(tf.__version__, package.__version__, version_of("tensorflow-addons"))


def stack(tensorflow: str, keras: str, addons: Optional[str]) -> Finding:
    """Which of the two stacks these versions are.

    Args:
      tensorflow: its version.
      keras: version of what `tensorflow.keras` is.
      addons: version of tensorflow-addons, if it is installed.
    """
    if not keras.startswith("2."):
        found = f"TensorFlow {tensorflow} uses Keras {keras}, and this package needs Keras 2."
        return Finding(
            "TensorFlow", FAILURE, found, "pip install tf_keras of TensorFlow's version."
        )
    is_classic = tuple(map(int, tensorflow.split(".")[:2])) < (2, 16)
    which = "the classic stack" if is_classic else "the current stack, with Keras 2 as tf_keras"
    beside = f"tensorflow-addons {addons} is" if addons else "tensorflow-addons is not"
    found = f"TensorFlow is {tensorflow} with Keras {keras}: {which}; {beside} installed."
    return Finding("TensorFlow", OK, found)


def version_of(distribution: str) -> Optional[str]:
    """The version of an installed package; None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def tensorboard(_: Subject) -> Finding:
    """Whether TensorBoard is there, which TensorFlow 2.21 does not bring any more."""
    if importlib.util.find_spec("tensorboard") is None:
        found = "TensorBoard is not installed, and training writes its logs by it."
        return Finding("TensorBoard", FAILURE, found, "pip install tensorboard.")
    return Finding("TensorBoard", OK, f"TensorBoard is {version_of('tensorboard')}.")


def onednn(_: Subject) -> Finding:
    """Whether oneDNN does the convolutions on CPUs."""
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("1", "true"):
        return Finding("oneDNN", OK, "TensorFlow uses oneDNN for what it computes on CPUs.")
    return Finding(
        "oneDNN",
        ATTENTION,
        "TensorFlow is told not to use oneDNN, and a step on a CPU takes several times as long.",
        "Unset TF_ENABLE_ONEDNN_OPTS.",
    )


def bfloat16(_: Subject) -> Finding:
    """Whether this CPU multiplies bfloat16 by instructions of its own."""
    from msbreg_tf.augment.resample import fastest_product

    if fastest_product() == "bfloat16":
        found = "This CPU has instructions for bfloat16: --mixed_precision makes its steps faster."
    else:
        found = "This CPU has no instructions for bfloat16: --mixed_precision would slow its steps."
    return Finding("bfloat16", OK, found)


def xla(_: Subject) -> Finding:
    """Whether XLA compiles the training step."""
    import tensorflow as tf

    if "tf_xla_auto_jit" in os.environ.get("TF_XLA_FLAGS", "") or tf.config.optimizer.get_jit():
        found = "XLA is on for the step (TF_XLA_FLAGS); no result here was measured with it."
        return Finding("XLA", ATTENTION, found, "Unset that variable, unless you mean it.")
    return Finding("XLA", OK, "XLA is off for the step; it compiles only the colours of the views.")
