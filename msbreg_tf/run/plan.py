"""What a run is about to do, in a few lines, before its first step."""

import os

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.data.sources.source import Source
from msbreg_tf.method import lars
from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.objective import Objective
from msbreg_tf.method.settings import OptimizerSettings
from msbreg_tf.run.config import Config
from msbreg_tf.run.length import Length


def describe(
    config: Config,
    source: Source,
    length: Length,
    model: MSBReg,
    replicas: int,
    why_precision: str = "",
) -> str:
    """The plan as text: data, steps, batch, learning rate, networks, decay, objective."""
    rows = [
        ("data", f"{source.name}, {source.num_images:,} images"),
        *_schedule(config, length, replicas),
        *_networks(config, model),
        ("precision", _precision(why_precision)),
        ("devices", _devices()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in rows)


def _schedule(config: Config, length: Length, replicas: int) -> list[tuple[str, str]]:
    """Steps, batch, learning rate, loss and target."""
    o, c = config.optimizer, config.objective
    objective = Objective(c)
    return [
        (
            "steps",
            f"{length.steps_per_epoch:,} per epoch × {o.epochs} epochs = {length.total_steps:,}; "
            f"{length.warmup_steps:,} of warm-up",
        ),
        (
            "batch",
            f"N = {o.batch_size} images × K = {c.num_views} views = "
            f"{o.batch_size * c.num_views} of {config.view_size} px, on R = {replicas} "
            f"replica{'s' if replicas > 1 else ''} of B = {o.batch_size // replicas}"
            f"{_micro(o, replicas)}",
        ),
        (
            "learning rate",
            f"{config.max_lr:g} = base_lr {o.base_lr:g} × {o.batch_size}/256 × {c.num_views} views",
        ),
        ("loss", f"{c.method}: {objective.formula()}{_unused(objective)}"),
        ("target", f"τ from {c.tau_base:g} to 1 by cosine"),
    ]


def _networks(config: Config, model: MSBReg) -> list[tuple[str, str]]:
    """Sizes, and which weights are decayed."""
    networks = {
        config.network.encoder: model.encoder,
        "projector": model.projector,
        "predictor": model.predictor,
    }
    kernels = [v for v in model.online_variables if lars.is_adapted(v)]
    others = [v for v in model.online_variables if not lars.is_adapted(v)]
    decay = config.optimizer.weight_decay
    return [
        *(
            (name, f"{_size(network.trainable_variables):,} parameters")
            for name, network in networks.items()
        ),
        ("decayed", f"{_count(kernels)}: kernels, weight decay {decay:g} and LARS"),
        ("not decayed", f"{_count(others)}: biases and norm layers"),
    ]


def _micro(optimizer: OptimizerSettings, replicas: int) -> str:
    """Says how the batch is divided, if it is."""
    parts = optimizer.accumulate_steps
    if parts == 1:
        return ""
    return f", in M = {parts} micro-batches of {optimizer.batch_size // replicas // parts}"


def _unused(objective: Objective) -> str:
    """Says which λ's were set that the method leaves out, because a flagfile may set them."""
    given, defaults = objective.settings.values(), type(objective.settings)().values()
    names = [f"--{name}" for name in objective.unused_weights() if given[name] != defaults[name]]
    return f" ({', '.join(names)} not used)" if names else ""


def _precision(why: str) -> str:
    name = keras.mixed_precision.global_policy().name
    return f"{name}, by --mixed_precision=auto: {why}" if why else name


def _devices() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {os.cpu_count()} cores (TensorFlow sees no GPU)"
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
    ]
    return ", ".join(names)


def _count(variables) -> str:
    return f"{len(variables)} tensors, {_size(variables):,} weights"


def _size(variables) -> int:
    return sum(v.shape.num_elements() for v in variables)
