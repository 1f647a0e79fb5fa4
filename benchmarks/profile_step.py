"""Where the time of a training step goes, by kind of operation, from TensorFlow's own profiler.

    python -m benchmarks.profile_step --flagfile=flags/stl10.cfg --batch_size=64

Takes the settings of msbreg_tf.train. First the step alone: its views are noise, made before. Times
are sums over operations; two of them may overlap. Then steps on the data set, to see what part of
their time they wait for views; --dataset=sample needs no other images.
"""

import collections
import glob
import os
import re
import tempfile
import time

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip
from tensorflow.tsl.profiler.protobuf import xplane_pb2  # isort: skip

from msbreg_tf.method.lars import LARS  # isort: skip
from msbreg_tf.commands import cli

from msbreg_tf.run.build import build_model, precision_policy  # isort: skip
from msbreg_tf.run.build import build_augmentation  # isort: skip
from msbreg_tf.run.config import PARTS, Config  # isort: skip
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches  # isort: skip
from msbreg_tf.data.sources.table import open_source

from msbreg_tf.run.determinism import reproducible_sums  # isort: skip

WARM_UP, STEPS = 3, 3
WAITING = "IteratorGetNextOp::DoCompute"
NETWORKS = re.compile("encoder|projector|predictor")  # in the names of their operations


class Profile(keras.callbacks.Callback):
    """Profiles the steps after the first ones."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder
        self.seconds = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        if batch == WARM_UP:
            tf.profiler.experimental.start(self._folder)
            self.seconds = -time.perf_counter()

    def on_train_end(self, logs=None):
        self.seconds += time.perf_counter()
        tf.profiler.experimental.stop()


def main(*parts):
    config = Config(*parts)
    with reproducible_sums():
        measure(config)


def measure(config: Config) -> None:
    keras.mixed_precision.set_global_policy(precision_policy(config.run.mixed_precision))
    model = build_model(config, total_steps=100)
    happened, _ = profile(model, config, noise(config))
    print_shares(happened, config.optimizer.batch_size)
    happened, seconds = profile(model, config, real_views(config))
    waiting = sum(ms for name, ms in happened if name == WAITING) / 1e3
    print(f"\n{100 * waiting / seconds:.2f} % of a step's time is waiting for views")


def noise(config: Config) -> tf.data.Dataset:
    size = config.data.image_size
    shape = [config.optimizer.batch_size, config.objective.num_views, size, size, 3]
    views = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    return tf.data.Dataset.from_tensors(views).repeat(WARM_UP + STEPS)


def real_views(config: Config) -> tf.data.Dataset:
    plan = ViewPlan(
        open_source(config.data),
        build_augmentation(config),
        batch_size=config.optimizer.batch_size,
        num_views=config.objective.num_views,
    )
    return view_batches(plan, num_steps=WARM_UP + STEPS)


def profile(model: keras.Model, config: Config, views: tf.data.Dataset):
    """[(name, ms)] of what happened in STEPS steps, and the seconds that they took."""
    lars = LARS(config.optimizer.trust_coefficient, config.optimizer.weight_decay)
    with tempfile.TemporaryDirectory() as folder:
        profiled = Profile(folder)
        model.fit(views, verbose=0, callbacks=[lars, profiled])
        return events(folder), profiled.seconds


def print_shares(happened: list[tuple[str, float]], batch: int) -> None:
    times = operation_times(happened)
    total, groups, kinds = sum(times.values()), collections.Counter(), collections.Counter()
    for (name, kind), ms in times.items():
        group = "losses, LARS, SGD, target, metrics"
        if NETWORKS.search(name):
            group = "convolutions" if "Conv2D" in kind else "rest of the networks"
        groups[group] += ms / total
        kinds[f"{kind} ({'networks' if NETWORKS.search(name) else 'the rest'})"] += ms / total
    print(f"{total / STEPS:,.0f} ms of operations in a step of {batch} images")
    for title, shares in (("Share", groups), ("Largest kinds of operation", kinds)):
        print(f"\n{title}")
        for name, share in shares.most_common(12):
            print(f"{100 * share:5.1f} %  {name}")


def operation_times(happened: list[tuple[str, float]]) -> dict[tuple[str, str], float]:
    """{(name, kind) of an operation: ms}."""
    times: collections.Counter = collections.Counter()
    for event, ms in happened:
        name, colon, kind = event.rpartition(":")
        if colon and "::" not in event and kind.replace("_", "").isalnum():
            times[name, kind] += ms
    return times


def events(folder: str) -> list[tuple[str, float]]:
    """(name, ms) of everything that was profiled."""
    [path] = glob.glob(os.path.join(folder, "plugins", "profile", "*", "*.xplane.pb"))
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    return [
        (plane.event_metadata[event.metadata_id].name, event.duration_ps / 1e9)
        for plane in space.planes
        for line in plane.lines
        for event in line.events
    ]


if __name__ == "__main__":
    cli.run(cli.Command(PARTS, main), __doc__)
