"""A few real steps of a recipe in a process of its own, and what they took.

In its own, because the peak of memory is a process's, and because it may be killed for memory.
"""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Optional

import msbreg_tf
from msbreg_tf.errors import RunFailedError, one_line
from msbreg_tf.run.config import Config

_WARMING = 2  # steps that trace the graph and fill the pipeline
_RESULT = "trial: "
_OF_MEMORY = ("SIGKILL", "SIGSEGV")  # of the system; of a library that got none
_NO_MEMORY = "most likely for want of memory: lower --batch_size, or raise --accumulate_steps"


@dataclasses.dataclass(frozen=True)
class Trial:
    """What the steps took.

    Attributes:
      images_per_second: N images in a step, in a steady state.
      base_bytes: memory before the first step, of the process or, with a GPU, of the device.
      peak_bytes: the most during the steps.
      on_gpu: which of the two.
      batch_size: N.
      replicas: R.
      total_steps: of the whole recipe.
      num_images: of its data set.
    """

    images_per_second: float
    base_bytes: int
    peak_bytes: int
    on_gpu: bool
    batch_size: int
    replicas: int
    total_steps: int
    num_images: int


def run_trial(config: Config, steps: int, environment: Optional[Mapping[str, str]] = None) -> Trial:
    """Trains some steps in a new process.

    Args:
      config: the recipe; its `workdir` is written into.
      steps: how many, at least 2.
      environment: of the process; by default this one's, without other workers.

    Raises:
      ValueError: the recipe can't begin; says why.
      RunFailedError: the steps failed, in one line.
    """
    if environment is None:
        environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    process = subprocess.run(
        [sys.executable, "-m", "msbreg_tf.run.doctor.trial"],
        input=pickle.dumps((config, steps)),
        capture_output=True,
        env=dict(environment),
        check=False,
    )
    said = process.stdout.decode(errors="replace").splitlines()
    results = [line.removeprefix(_RESULT) for line in said if line.startswith(_RESULT)]
    if process.returncode or not results:
        raise RunFailedError(_why(process.returncode, process.stderr.decode(errors="replace")))
    result = json.loads(results[-1])
    if "bad input" in result:
        raise ValueError(result["bad input"])
    if "failed" in result:
        raise RunFailedError(result["failed"])
    return Trial(**result)


def _why(code: int, stderr: str) -> str:
    """Why a process ended without a result."""
    if code < 0:
        name = signal.Signals(-code).name
        why = f", {_NO_MEMORY}" if name in _OF_MEMORY else ""
        return f"The process ended by {name}{why}."
    lines = [line for line in stderr.splitlines() if line.strip()] or ["no message"]
    return f"The process ended with code {code}: {one_line(RuntimeError(lines[-1]))}."


class StepTimes:
    """The times at which steps ended, and how many images that is a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._ends: list[float] = []

    def step_ended(self) -> None:
        """To be called after every step."""
        self._ends.append(self._clock())

    def rate(self, batch_size: int) -> float:
        """Images per second, without the first steps as far as others remain."""
        first = min(_WARMING, len(self._ends) - 1) - 1
        seconds = self._ends[-1] - self._ends[first]
        return (len(self._ends) - 1 - first) * batch_size / max(seconds, 1e-9)


def measure(config: Config, steps: int) -> Trial:
    """Trains some steps in this process, which has to be a new one."""
    import tensorflow as tf
    from tensorflow import keras

    from msbreg_tf.distributed.workers import Workers
    from msbreg_tf.files.workdir import Workdir
    from msbreg_tf.run.determinism import reproducible_sums
    from msbreg_tf.run.doctor import memory
    from msbreg_tf.run.precision import choose_precision
    from msbreg_tf.run.pretraining import Run

    policy = choose_precision(config.run.mixed_precision, cpu_devices=config.run.cpu_devices).policy
    keras.mixed_precision.set_global_policy(policy)
    with reproducible_sums():
        run = Run(config, Workdir(config.run.workdir), Workers())
        times = StepTimes()
        watch = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: times.step_ended()
        )
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
        base = memory.now(on_gpu)
        run.rehearse(steps, watch)
    return Trial(
        images_per_second=times.rate(config.optimizer.batch_size),
        base_bytes=base,
        peak_bytes=memory.peak(on_gpu),
        on_gpu=on_gpu,
        batch_size=config.optimizer.batch_size,
        replicas=run.strategy.num_replicas_in_sync,
        total_steps=run.length.total_steps,
        num_images=run.source.num_images,
    )


def _is_ours(error: ValueError) -> bool:
    """Whether this package raised it, as for bad input."""
    package = os.path.dirname(os.path.abspath(msbreg_tf.__file__))
    return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(package)


def _main() -> None:
    config, steps = pickle.load(sys.stdin.buffer)
    try:
        result = dataclasses.asdict(measure(config, steps))
    except RunFailedError as error:
        result = {"failed": str(error)}
    except ValueError as error:
        if not _is_ours(error):  # a bug, whose last line `_why` shows
            raise
        result = {"bad input": one_line(error)}
    print(f"{_RESULT}{json.dumps(result)}", flush=True)


if __name__ == "__main__":
    _main()
