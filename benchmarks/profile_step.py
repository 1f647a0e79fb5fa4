"""Where the time of a training step goes, by kind of operation, from TensorFlow's own profiler.

    python -m benchmarks.profile_step --flagfile=flags/stl10.cfg --batch_size=64

Takes the settings of msbreg_tf.train. The views are noise, made before, so the step is all that
runs. Times are sums over operations; two of them may overlap.
"""

import collections
import glob
import os
import re
import tempfile

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip
from tensorflow.tsl.profiler.protobuf import xplane_pb2  # isort: skip

from msbreg_tf import callbacks, cli  # isort: skip
from msbreg_tf.assembly import build_model  # isort: skip
from msbreg_tf.determinism import make_sums_reproducible  # isort: skip

WARM_UP, STEPS = 3, 3
NETWORKS = re.compile("encoder|projector|predictor")  # in the names of their operations

cli.define_flags()


class Profile(keras.callbacks.Callback):
    """Profiles the steps after the first ones."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def on_train_batch_begin(self, batch, logs=None):
        if batch == WARM_UP:
            tf.profiler.experimental.start(self._folder)

    def on_train_end(self, logs=None):
        tf.profiler.experimental.stop()


def main(argv):
    del argv
    config = cli.config_from_flags()
    make_sums_reproducible()
    model = build_model(config, total_steps=100)
    size, batch = config.data.image_size, config.optimizer.batch_size
    shape = [batch, config.objective.num_views, size, size, 3]
    views = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    data = tf.data.Dataset.from_tensors(views).repeat(WARM_UP + STEPS)
    optimizer = config.optimizer
    lars = callbacks.LARS(optimizer.trust_coefficient, optimizer.weight_decay)
    with tempfile.TemporaryDirectory() as folder:
        model.fit(data, verbose=0, callbacks=[lars, Profile(folder)])
        times = operation_times(folder)
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


def operation_times(folder: str) -> dict[tuple[str, str], float]:
    """{(name, kind) of an operation: ms} of everything that was profiled."""
    [path] = glob.glob(os.path.join(folder, "plugins", "profile", "*", "*.xplane.pb"))
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    times: collections.Counter = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and "::" not in f"{name}:{kind}" and kind.replace("_", "").isalnum():
                    times[name, kind] += event.duration_ps / 1e9
    return times


if __name__ == "__main__":
    cli.run(main)
