"""What an export says of itself, besides its settings."""

import os
import platform
import subprocess
from typing import Any

import tensorflow as tf
from tensorflow import keras

import msbreg_tf
from msbreg_tf.data.sources.source import Source
from msbreg_tf.distributed.devices import hardware
from msbreg_tf.run.config import Config


def export_facts(config: Config, source: Source, step: int) -> dict[str, Any]:
    """Plain JSON values for `metadata.json`; settings that are not set are left out."""
    return {
        "step": step,
        "recipe": {name: value for name, value in config.settings().items() if value is not None},
        "images": source.fingerprint,
        "precision": keras.mixed_precision.global_policy().name,  # what 'auto' came to
        "hardware": hardware(),
        "versions": {
            "msbreg_tf": msbreg_tf.__version__,
            "commit": commit(),
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }


def commit() -> str:
    """The commit of this code, "+" behind it where files have changed, or why it is not known."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(msbreg_tf.__file__)))
    if not os.path.exists(os.path.join(folder, ".git")):
        return "not known: no git checkout"
    try:
        described = subprocess.run(
            [
                "git",
                "-C",
                folder,
                "describe",
                "--always",
                "--abbrev=12",
                "--dirty=+",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "not known: git does not answer"
    return described.stdout.strip()
