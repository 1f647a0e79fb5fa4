"""Streams views for a peer, as `msbreg_tf.train` makes them: same order, draws and pixels.

    python -m benchmarks.race.feeder FOLDER > views

reads FOLDER/request.json, writes the batches of all steps to stdout, uint8 [N, K, S, S, 3] each,
and then what they cost to FOLDER/views.json. With "discard" in the request, only the time is
wanted.
"""

import json
import os
import sys

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before it
from benchmarks.turns import die_with_parent

from benchmarks.race.stopwatch import Stopwatch  # isort: skip
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches  # isort: skip
from msbreg_tf.data.sources.table import open_source  # isort: skip
from msbreg_tf.run.build import build_augmentation  # isort: skip
from msbreg_tf.run.config import config_from_settings  # isort: skip


def main():
    die_with_parent()
    folder = sys.argv[1]
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    # What else is printed must not get between them.
    views = os.fdopen(os.open(os.devnull, os.O_WRONLY) if "discard" in request else os.dup(1), "wb")
    os.dup2(2, 1)
    config = config_from_settings({**request["views"], "num_views": request["num_views"]})
    augment = build_augmentation(config)
    plan = ViewPlan(
        open_source(config.data),
        augment,
        seed=request["seed"],
        batch_size=request["batch"],
        num_views=request["num_views"],
        reduction=augment.reduction,
    )
    watch = Stopwatch()
    for batch in view_batches(plan, 0, request["steps"]):
        views.write(memoryview(batch.numpy()))
        watch.tick()
    views.close()
    with open(os.path.join(folder, "views.json"), "w") as file:
        json.dump({"seconds": watch.seconds(), "steps": watch.steps}, file)


if __name__ == "__main__":
    main()
