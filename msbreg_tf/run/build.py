"""From settings to objects: devices, precision, model, and the state that a checkpoint holds."""

import functools
from typing import Optional, Union

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.distributed.devices import split_cpu
from msbreg_tf.distributed.replicas import read_own_copies
from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.momentum import momentum_sgd
from msbreg_tf.method.settings import OptimizerSettings
from msbreg_tf.networks.encoder import build_encoder
from msbreg_tf.networks.heads import build_predictor, build_projector
from msbreg_tf.run.config import Config
from msbreg_tf.run.precision import choose_precision


def make_strategy(
    config: Config, workers: Optional[tf.distribute.Strategy] = None
) -> tf.distribute.Strategy:
    """The devices of `--strategy`.

    Args:
      config: the settings.
      workers: the strategy that connects several workers, if there are some.

    Raises:
      ValueError: the global batch can't be shared evenly.
    """
    split_cpu(config.run.cpu_devices)
    gpus = tf.config.list_logical_devices("GPU")
    kind = config.run.strategy
    several = len(gpus) > 1 or config.run.cpu_devices > 1
    if workers is not None:
        strategy = workers
    elif kind == "mirrored" or (kind in ("auto", "multi_worker") and several):
        devices = gpus or tf.config.list_logical_devices("CPU")
        strategy = mirrored(tuple(device.name for device in devices))
    else:
        strategy = tf.distribute.get_strategy()
    check_batch(config.optimizer, strategy.num_replicas_in_sync)
    return strategy


def check_batch(optimizer: OptimizerSettings, num_replicas: int) -> None:
    """Checks that the replicas, and the micro-batches of each, can share a batch evenly.

    Raises:
      ValueError: they can't; names the next batch size that works.
    """
    batch, parts = optimizer.batch_size, optimizer.accumulate_steps
    multiple = num_replicas * parts
    if batch % multiple:
        micro = f" of --accumulate_steps={parts} micro-batches" if parts > 1 else ""
        raise ValueError(
            f"--batch_size={batch}: {num_replicas} replica{'s' if num_replicas > 1 else ''}{micro} "
            f"can't share it evenly. Use a multiple of {multiple}, for example "
            f"--batch_size={batch + multiple - batch % multiple}."
        )


@functools.cache
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy per process: the collectives of two over the same devices get mixed up."""
    return tf.distribute.MirroredStrategy(list(devices))


def precision_policy(mixed: Union[bool, str]) -> str:
    """Keras's policy for a new run with this `--mixed_precision`."""
    return choose_precision(mixed).policy


def build_augmentation(config: Config) -> MultiViewAugmentation:
    """The layer that makes the views of a run."""
    return MultiViewAugmentation(
        config.augment, num_views=config.objective.num_views, image_size=config.view_size
    )


def build_model(config: Config, total_steps: int, synchronized: Optional[bool] = None) -> MSBReg:
    """The compiled model of a run, with all its variables, under the current strategy.

    `synchronized` batch norm is for several replicas, unless said otherwise.
    """
    network = config.network
    hidden, size = network.heads()
    if synchronized is None:
        synchronized = tf.distribute.get_strategy().num_replicas_in_sync > 1
    encoder = _build_encoder(config, synchronized)
    heads = {"hidden_size": hidden, "output_size": size, "norm": network.norm}
    projector = build_projector(
        encoder.output_shape[-1], **heads, synchronized=synchronized, name="online_projector"
    )
    predictor = build_predictor(size, **heads, synchronized=synchronized, name="online_predictor")
    model = MSBReg(
        encoder,
        projector,
        predictor,
        objective=config.objective,
        total_steps=total_steps,
        seed=config.run.seed,
        accumulate_steps=config.optimizer.accumulate_steps,
        augment=build_augmentation(config) if config.augment.augment_on == "device" else None,
    )
    optimizer = config.optimizer
    model.compile(momentum_sgd(optimizer.momentum_form, config.max_lr, optimizer.momentum))
    model.optimizer.build(model.online_variables)
    read_own_copies(model.variables)
    return model


def _build_encoder(config: Config, synchronized: bool) -> keras.Model:
    try:
        return build_encoder(
            config.network,
            image_size=config.view_size,
            synchronized=synchronized,
            name="online_encoder",
        )
    except ValueError as error:
        if config.data.view_size is None:
            raise
        raise ValueError(str(error).replace("image_size", "view_size")) from None


def saved_state(model: MSBReg) -> tf.train.Checkpoint:
    """All that a step reads and writes; order of data, views and noise follow from the step."""
    return tf.train.Checkpoint(
        encoder=model.encoder,
        projector=model.projector,
        predictor=model.predictor,
        target_encoder=model.target_encoder,
        target_projector=model.target_projector,
        optimizer=model.optimizer,
    )
