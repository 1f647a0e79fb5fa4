"""CPU seconds of the parts of a training step, each computed by itself on one core."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip

from msbreg_tf.data.pipeline.views import ViewPlan, view_batches  # isort: skip
from msbreg_tf.data.sources.source import MemorySource  # isort: skip
from msbreg_tf.method.lars import LARS  # isort: skip
from msbreg_tf.method.model import MSBReg  # isort: skip
from msbreg_tf.method.objective import Embeddings  # isort: skip
from msbreg_tf.run.build import build_augmentation, build_model, precision_policy  # isort: skip
from msbreg_tf.run.config import Config, config_from_settings  # isort: skip
from msbreg_tf.run.determinism import reproducible_sums  # isort: skip

PARTS = ("networks", "losses", "update", "augmentation")
REPEATS = 3
_CHEAP_SECONDS = 0.3  # cheaper parts are computed more often


@dataclasses.dataclass(frozen=True)
class Point:
    """What a step is of; the defaults are those of the point that all curves go through."""

    num_views: int = 4
    batch_size: int = 16
    projection_size: int = 128
    image_size: int = 96

    def config(self) -> Config:
        """ResNet-18 and all three terms of the method, as `flags/stl10.cfg` has them."""
        own = dataclasses.asdict(self)
        return config_from_settings({**own, "lambda_b": 0.05, "mixed_precision": "auto"})


def step_on_noise(point: Point, mixed: bool) -> Callable[[], dict[str, tf.Tensor]]:
    """A whole step on views made before, as a function that does it."""
    keras.mixed_precision.set_global_policy(precision_policy(mixed))
    config = point.config()
    with reproducible_sums():
        model, views = _model(config), _noise(config)
        step = tf.function(model.train_step).get_concrete_function(views)
    return lambda: step(views)


def _model(config: Config) -> MSBReg:
    """With LARS, as a run has it."""
    model = build_model(config, total_steps=1000)
    model.lars = LARS(config.optimizer.trust_coefficient, config.optimizer.weight_decay)
    return model


def cost(point: Point) -> dict[str, float]:
    """CPU seconds of one step: {part: seconds}, and the "whole" step without augmentation."""
    config = point.config()
    keras.mixed_precision.set_global_policy(precision_policy(config.run.mixed_precision))
    with reproducible_sums():
        model, views = _model(config), _noise(config)
        networks, losses, update = _networks(model), _losses(model), _update(model)
        embeddings = model.embed(views, training=True)
        gradients = networks(views)
        seconds = {
            "networks": cpu_seconds(lambda: networks(views)),
            "losses": cpu_seconds(lambda: losses(*embeddings)),
            "update": cpu_seconds(lambda: update(gradients)),
            "augmentation": _augmentation_seconds(config),
        }
        step = tf.function(model.train_step)
        return {**seconds, "whole": cpu_seconds(lambda: step(views))}


def cpu_seconds(work: Callable[[], object]) -> float:
    """Median CPU time of this process for one call, after one that compiles."""
    work()
    started = time.process_time()
    work()
    calls = max(1, round(_CHEAP_SECONDS / max(1e-4, time.process_time() - started)))
    each = []
    for _ in range(REPEATS):
        started = time.process_time()
        for _ in range(calls):
            work()
        each.append((time.process_time() - started) / calls)
    return statistics.median(each)


def _noise(config: Config) -> tf.Tensor:
    """Views, uint8 [N, K, S, S, 3]."""
    size = config.data.image_size
    shape = [config.optimizer.batch_size, config.objective.num_views, size, size, 3]
    return tf.cast(tf.random.stateless_uniform(shape, [0, 0], 0, 256, tf.int32), tf.uint8)


def _networks(model: MSBReg) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """The target's pass, the online networks' pass and its way back; returns gradients."""

    def passes(views):
        target = model.embed_target(views, training=True)
        with tf.GradientTape() as tape:
            prediction, _ = model.embed(views, training=True)
            loss = tf.reduce_mean(prediction * target)
        return tape.gradient(loss, model.online_variables)

    return tf.function(passes)


def _losses(model: MSBReg) -> Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]:
    """All terms, and their gradients by prediction and projection."""

    def terms(prediction, projection):
        with tf.GradientTape() as tape:
            tape.watch([prediction, projection])
            embeddings = Embeddings(
                prediction,
                projection,
                tf.stop_gradient(projection),
                tf.constant([0, 0]),
                tf.constant(0),
                model.objective.settings,
            )
            loss = model.objective.total(model.objective.terms(embeddings))
        return tape.gradient(loss, [prediction, projection])

    return tf.function(terms)


def _update(model: MSBReg) -> Callable[[list[tf.Tensor]], tf.Tensor]:
    """LARS, SGD with momentum, and the target's update."""

    def update(gradients):
        adapted, _ = model.lars.adapt(gradients, model.online_variables)
        pairs = zip(adapted, model.online_variables)
        model.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)
        model._update_target(tf.constant(0.99))
        return tf.linalg.global_norm(gradients)

    return tf.function(update)


def _augmentation_seconds(config: Config) -> float:
    """CPU time of the views of one step, of images in memory a third larger than the views."""
    side = config.data.image_size * 4 // 3
    count = config.optimizer.batch_size
    shape = [count, side, side, 3]
    pixels = tf.cast(tf.random.stateless_uniform(shape, [1, 0], 0, 256, tf.int32), tf.uint8)
    source = MemorySource("noise", pixels, lambda image: image, (side, side))
    views = config.objective.num_views
    plan = ViewPlan(source, build_augmentation(config), batch_size=count, num_views=views)
    return seconds_per_batch(view_batches(plan))


def seconds_per_batch(batches: tf.data.Dataset, skip: int = 4, at_least: float = 1.0) -> float:
    """CPU time of this process for one batch of an endless data set.

    Args:
      batches: the data set.
      skip: batches at the beginning, in which it compiles and fills its buffers.
      at_least: CPU seconds to measure for; no fewer than four batches.
    """
    iterator = iter(batches)
    for _ in range(skip):
        next(iterator)
    started, count = time.process_time(), 0
    while count < 4 or time.process_time() - started < at_least:
        next(iterator)
        count += 1
    return (time.process_time() - started) / count
