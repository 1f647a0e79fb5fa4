"""`python -m tools.detect`: checks everything, then starts the engine where PyTorch is."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from typing import Optional

import msbreg_tf
from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.paths import check_new_file
from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.detection import settings
from msbreg_tf.evaluation.detection.weights import check_weights
from msbreg_tf.evaluation.settings import RecordSettings
from msbreg_tf.files.workdir import checked_path
from msbreg_tf.settings import Settings

_PACKAGE = os.path.dirname(os.path.abspath(msbreg_tf.__file__))
# In a checkout beside the package, when installed inside of it.
_FOLDERS = (os.path.join(_PACKAGE, "detection"), os.path.join(_PACKAGE, "..", "detection"))
_ENVIRONMENT = os.path.join(".venv-detect", "bin", "python")


def _run(*parts: Settings) -> None:
    data, training, engine, record = parts
    check_weights(data.weights)
    checked_path(data.workdir)
    if record.results:
        check_new_file("results", record.results)
    python = _python(engine.python)
    _check_annotations(data, training)
    code = _run_engine(python, parts)
    if -code in (signal.SIGTERM, signal.SIGINT):  # before there was anything to save
        raise KeyboardInterrupt
    if code < 0:
        raise RunFailedError(
            f"the engine was ended by signal {-code}; 9 is usually too little memory, for which a "
            "smaller --batch_size, --rois or --min_sizes helps. Start the same command again to "
            "continue."
        )
    if code:  # it has said why
        sys.exit(code)


def _check_annotations(data: settings.DetectionData, training: settings.DetectionTraining) -> None:
    """Reads all annotations, which COCO's need some GB for, and lets go of them.

    Raises:
      ValueError: see `open_splits` and `schedule`.
    """
    from msbreg_tf.evaluation.detection.opening import open_splits

    opened = open_splits(data)
    settings.schedule(training, settings.TASKS[opened.layout])


def _python(given: Optional[str]) -> str:
    """The Python to start the engine with.

    Raises:
      ValueError: there is none that could have PyTorch.
    """
    if given is None:
        if importlib.util.find_spec("torchvision"):
            return sys.executable
        given = _ENVIRONMENT
    path = os.path.expanduser(given)
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        needed = os.path.normpath(os.path.join(_folder(), "requirements.txt"))
        raise ValueError(
            f"--python={given}: no such program. `make detect` makes .venv-detect in a checkout, "
            "which has what the engine needs; or give the Python of an environment of its own, in "
            f"which `pip install -r {needed}` was run."
        )
    return path


def _folder() -> str:
    return next(folder for folder in _FOLDERS if os.path.isdir(folder))


def _run_engine(python: str, parts: tuple[Settings, ...]) -> int:
    """Runs the engine to its end, to which it brings signals; returns its exit code."""
    job = {"package": _PACKAGE, "settings": [part.values() for part in parts]}
    arguments = [python, os.path.join(_folder(), "run.py"), json.dumps(job)]
    with subprocess.Popen(arguments) as process:

        def forward(number, frame):
            process.send_signal(signal.SIGTERM)

        before = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


COMMAND = Command(
    (
        settings.DetectionData,
        settings.DetectionTraining,
        settings.DetectionEngine,
        RecordSettings,
    ),
    _run,
)
