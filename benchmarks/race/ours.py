"""Our side: an ordinary run of `msbreg_tf.train`, with a stopwatch and a length in steps.

    python -m benchmarks.race.ours FOLDER

reads FOLDER/request.json and leaves the run in FOLDER/run and what it cost in FOLDER/training.json.
The length is counted in steps, not in epochs, so that everyone uses the same compute; warm-up keeps
its share of it. With "trial" in the request, only the time is wanted and nothing is exported.
"""

import json
import os
import re
import sys

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow
from benchmarks.turns import die_with_parent

import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip

from benchmarks.race.stopwatch import Stopwatch  # isort: skip
from msbreg_tf.errors import RunFailedError  # isort: skip
from msbreg_tf.run import pretraining  # isort: skip
from msbreg_tf.run.config import config_from_settings  # isort: skip
from msbreg_tf.run.length import Length  # isort: skip


def length_of(steps: int) -> type[Length]:
    """A `Length` whose runs have so many steps; warm-up keeps its share."""

    class InSteps(Length):
        @classmethod
        def of(cls, config, num_images):
            usual = Length.of(config, num_images)
            share = usual.warmup_steps / usual.total_steps
            return Length(usual.steps_per_epoch, round(share * steps), steps)

    return InSteps


class Ticks(keras.callbacks.Callback):
    """Tells the stopwatch of every step, before anything else hears of it."""

    def __init__(self, watch: Stopwatch):
        super().__init__()
        self.watch = watch

    def on_train_batch_end(self, batch, logs=None):
        self.watch.tick()


def timed_run(watch: Stopwatch, is_trial: bool) -> type[pretraining.Run]:
    """A `Run` whose steps `watch` counts; one that is only a trial exports nothing."""

    class TimedRun(pretraining.Run):
        def _callbacks(self):
            return [*super()._callbacks(), Ticks(watch)]

        def export(self):
            return self.workdir.file("export") if is_trial else super().export()

    return TimedRun


def train(request, folder: str) -> dict:
    """Trains; returns what is written to training.json."""
    watch = Stopwatch()
    config = config_from_settings({**request["settings"], "workdir": os.path.join(folder, "run")})
    pretraining.Length = length_of(request["steps"])
    pretraining.Run = timed_run(watch, request.get("trial", False))
    try:
        pretraining.train(config)
    except RunFailedError as error:
        if found := re.match(r"step (\d+): .* Training stopped", str(error)):
            return {"diverged": int(found[1])}
        raise
    gpus = tf.config.list_physical_devices("GPU")
    device = "GPU" if gpus else "CPU"
    return {"seconds": watch.seconds(), "steps": watch.steps, "device": device}


def main():
    die_with_parent()
    folder = sys.argv[1]
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    result = train(request, folder)
    with open(os.path.join(folder, "training.json"), "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
