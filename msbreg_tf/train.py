"""Pretrain an image encoder with MSBReg, and export it.

    python -m msbreg_tf.train --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

Prints a plan, trains, and writes checkpoints, metrics.jsonl, TensorBoard logs and export/<step>/
into --workdir. Start the same command again after an interruption: it continues exactly.
"""

import platform
import sys

import tensorflow as tf
from tensorflow import keras

import msbreg_tf
from msbreg_tf import callbacks, cli
from msbreg_tf.augment import build_augmentation
from msbreg_tf.checkpoints import Checkpoints
from msbreg_tf.config import Config
from msbreg_tf.data import Source, labelled_images, open_source, probe_views, view_batches
from msbreg_tf.errors import RunFailedError
from msbreg_tf.export import export_encoder
from msbreg_tf.metrics_file import MetricsFile
from msbreg_tf.model import MSBReg
from msbreg_tf.networks import build_encoder, build_predictor, build_projector
from msbreg_tf.plan import Length, describe
from msbreg_tf.workdir import Workdir

cli.define_flags()


def main(argv):
    del argv
    train(cli.config_from_flags())


def train(config: Config) -> str:
    """Runs one pretraining from wherever it stands to its end.

    Args:
      config: all settings; `config.run.workdir` is required.

    Returns:
      The folder of the export.

    Raises:
      ValueError: bad input, in one line, before anything is written over.
      RunFailedError: a non-finite loss, a full disk, a folder in use.
      PreemptedError: a signal asked to stop; the state is saved.
    """
    workdir = Workdir(config.run.workdir)
    try:
        strategy = make_strategy(config)
        set_precision(config.run.mixed_precision)
        source = open_source(config.data)
        length = Length.of(config, source.num_images)
        knn_data = _knn_data(config)
        keras.utils.set_random_seed(config.run.seed)
        with strategy.scope():
            model = build_model(config, length.total_steps)
        workdir.claim(
            config.result_settings() | {"data": source.name, "num_images": source.num_images}
        )
        checkpoints = Checkpoints(
            workdir.file("checkpoints"), saved_state(model), config.run.keep_checkpoints
        )
        step = checkpoints.restore_newest() or 0
        print(describe(config, source, length, model, strategy.num_replicas_in_sync))
        if step:
            print(f"Continuing from step {step:,} of {length.total_steps:,}.")
        if step < length.total_steps:
            _fit(config, source, length, model, knn_data, checkpoints, workdir, step)
        _report_broken(source)
        return _export(config, model, workdir, length.total_steps)
    except tf.errors.ResourceExhaustedError as error:
        raise RunFailedError(_out_of_something(error, workdir)) from error
    except OSError as error:
        raise RunFailedError(
            f"{error}. What was saved in {workdir.path} is kept: start the same command again."
        ) from error
    finally:
        keras.mixed_precision.set_global_policy("float32")
        workdir.close()


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The devices of `--strategy`.

    Raises:
      ValueError: the global batch can't be shared evenly.
    """
    gpus = tf.config.list_logical_devices("GPU")
    kind = config.run.strategy
    if kind == "mirrored" or (kind == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    else:
        strategy = tf.distribute.get_strategy()
    replicas, batch = strategy.num_replicas_in_sync, config.optimizer.batch_size
    if batch % replicas:
        raise ValueError(
            f"--batch_size={batch}: {replicas} replicas can't share it evenly. Use a multiple of "
            f"{replicas}, for example --batch_size={batch + replicas - batch % replicas}."
        )
    return strategy


def set_precision(mixed: bool) -> None:
    """Sets Keras's global policy: 16-bit computation in the format the device is fast at."""
    if not mixed:
        policy = "float32"
    elif tf.config.list_physical_devices("GPU"):
        policy = "mixed_float16"
    else:
        policy = "mixed_bfloat16"
    keras.mixed_precision.set_global_policy(policy)


def build_model(config: Config, total_steps: int) -> MSBReg:
    """The compiled model of a run, with all its variables, under the current strategy."""
    network = config.network
    hidden, size = network.heads()
    norm = {
        "norm": network.norm,
        "synchronized": tf.distribute.get_strategy().num_replicas_in_sync > 1,
    }
    encoder = build_encoder(
        network.encoder,
        image_size=config.data.image_size,
        width=network.encoder_width,
        stem=network.stem,
        name="online_encoder",
        **norm,
    )
    projector = build_projector(
        input_size=encoder.output_shape[-1],
        hidden_size=hidden,
        output_size=size,
        name="online_projector",
        **norm,
    )
    predictor = build_predictor(
        input_size=size, hidden_size=hidden, output_size=size, name="online_predictor", **norm
    )
    model = MSBReg(
        encoder,
        projector,
        predictor,
        objective=config.objective,
        total_steps=total_steps,
        seed=config.run.seed,
    )
    model.compile(keras.optimizers.SGD(config.max_lr, momentum=config.optimizer.momentum))
    model.optimizer.build(model.online_variables)
    return model


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


def _fit(config, source, length, model, knn_data, checkpoints, workdir, step) -> None:
    """Trains from `step` to the end, as one `fit` epoch so that it may begin anywhere."""
    run, optimizer = config.run, config.optimizer
    augment = build_augmentation(config)
    views = view_batches(
        source,
        augment,
        seed=run.seed,
        batch_size=optimizer.batch_size,
        num_views=config.objective.num_views,
        start_step=step,
        num_steps=length.total_steps,
    )
    file = MetricsFile(workdir.file("metrics.jsonl"))
    file.drop_after(step)
    per_epoch = length.steps_per_epoch
    progress = callbacks.Progress(length.total_steps, optimizer.batch_size)
    saver = callbacks.SaveCheckpoints(checkpoints, run.checkpoint_every)
    installed = [
        callbacks.LARS(optimizer.trust_coefficient, optimizer.weight_decay),
        callbacks.WarmupCosine(config.max_lr, length.warmup_steps, length.total_steps),
        callbacks.StopOnNonFinite(checkpoints),
        progress,
        callbacks.LogMetrics(file, run.log_every, per_epoch),
        callbacks.TensorBoardLog(
            workdir.file("tensorboard"),
            run.log_every,
            per_epoch,
            optimizer.batch_size,
            probe_views(source, augment, seed=run.seed, num_views=config.objective.num_views),
        ),
    ]
    if knn_data is not None:
        installed.append(callbacks.PeriodicKNN(file, run.knn_every, per_epoch, *knn_data))
    installed.append(saver)  # last: what a step logs is on disk before the step is
    try:
        # Named, since fit would only notice the end of the data inside a step too many.
        steps = length.total_steps - step
        model.fit(views, steps_per_epoch=steps, verbose=0, callbacks=installed)
    finally:
        progress.close()
        saver.restore_handlers()


def _knn_data(config: Config):
    """(train, test) of the periodic k-NN, each (images, labels); None if there is to be none."""
    if not config.run.knn_every:
        return None
    data, run = config.data, config.run
    return tuple(
        labelled_images(data.dataset, split, data.data_dir, data.image_size, run.knn_images)
        for split in (run.knn_train_split, run.knn_test_split)
    )


def _export(config: Config, model: MSBReg, workdir: Workdir, step: int) -> str:
    folder = export_encoder(
        model.encoder,
        workdir.file("export", str(step)),
        image_size=config.data.image_size,
        metadata={
            "step": step,
            "recipe": config.settings(),
            "versions": {
                "msbreg_tf": msbreg_tf.__version__,
                "tensorflow": tf.__version__,
                "python": platform.python_version(),
            },
        },
    )
    print(f"Exported the encoder of step {step:,} to {folder}")
    return folder


def _out_of_something(error: tf.errors.ResourceExhaustedError, workdir: Workdir) -> str:
    reason = error.message.splitlines()[0]
    if "No space left" in reason:
        remedy = f"Free space in {workdir.path}"
    else:
        remedy = "Lower --batch_size, --num_views or --image_size, or add --mixed_precision"
    return f"{reason}. {remedy}, and start again; checkpoints are kept."


def _report_broken(source: Source) -> None:
    if broken := source.broken_files():
        print(f"{len(broken)} broken files were skipped:", *broken, sep="\n  ", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
