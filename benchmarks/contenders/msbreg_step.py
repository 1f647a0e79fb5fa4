"""Training steps of `msbreg_tf.train` itself: its run, with images from memory, and less and less.

`what` is "all"; "cached_views": the same, but each step gets the same batch of views, made before;
"networks": forward and backward passes of the networks on those views, and plain SGD. `mixed` is
for --mixed_precision.
"""

import contextlib
import dataclasses
import tempfile

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip

from benchmarks.contenders import msbreg_views  # isort: skip
from msbreg_tf.run import pretraining  # isort: skip
from msbreg_tf.run.build import precision_policy  # isort: skip
from msbreg_tf.run.config import Config, config_from_settings  # isort: skip
from msbreg_tf.run.determinism import reproducible_sums  # isort: skip
from msbreg_tf.files.workdir import Workdir  # isort: skip
from msbreg_tf.distributed.workers import Workers  # isort: skip

_ENDLESS = 1_000_000  # epochs


class Ticks(keras.callbacks.Callback):
    """Calls `tick` after every step, when all other callbacks have been called."""

    def __init__(self, tick, count: int):
        super().__init__()
        self._tick, self._count = tick, count

    def on_train_batch_end(self, batch, logs=None):
        self._tick(self._count)


class TimedRun(pretraining.Run):
    """A run that reports its steps, and may be given its views."""

    tick = None
    views = None

    def _callbacks(self):
        return [*super()._callbacks(), Ticks(self.tick, self.config.optimizer.batch_size)]

    def _views(self):
        if self.views is None:
            return super()._views()
        return contextlib.nullcontext(tf.data.Dataset.from_tensors(self.views).repeat())


def make_run(settings, workdir: str) -> TimedRun:
    """A run of the recipe for STL-10 on the benchmark's images."""
    pretraining.open_source = lambda data: msbreg_views.memory_source(settings["images"])
    run = TimedRun(recipe(settings, workdir), Workdir(workdir), Workers())
    # What is logged once an epoch would otherwise be logged every few steps.
    run.length = dataclasses.replace(run.length, steps_per_epoch=_ENDLESS)
    return run


def recipe(settings, workdir: str) -> Config:
    """STL-10's, with the benchmark's batch."""
    return config_from_settings(
        {
            "image_size": settings["size"],
            "batch_size": settings["batch"],
            "num_views": settings["num_views"],
            "lambda_b": 0.05,
            "epochs": _ENDLESS,
            "workdir": workdir,
            "mixed_precision": settings.get("mixed", False),
        }
    )


def networks_step(model):
    """The model's passes without losses, target update, LARS and metrics, as a function."""
    optimizer = keras.optimizers.SGD(0.01)
    variables = model.online_variables

    def passes(views):
        images = tf.reshape(tf.cast(views, tf.float32), [-1, *views.shape[2:]])
        target = model.target_projector(model.target_encoder(images, training=True), training=True)
        with tf.GradientTape() as tape:
            projection = model.projector(model.encoder(images, training=True), training=True)
            prediction = model.predictor(projection, training=True)
            loss = tf.reduce_mean(prediction * target)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    return tf.function(passes)


def run(settings, tick):
    keras.mixed_precision.set_global_policy(precision_policy(settings.get("mixed", False)))
    with reproducible_sums(), tempfile.TemporaryDirectory() as workdir:
        timed = make_run(settings, workdir)
        timed.tick = tick
        if settings["what"] == "all":
            timed.fit()
        views = next(iter(msbreg_views.batches(settings)))
        if settings["what"] == "cached_views":
            timed.views = views
            timed.fit()
        step = networks_step(timed.model)
        while True:
            step(views).numpy()
            tick(len(views))
