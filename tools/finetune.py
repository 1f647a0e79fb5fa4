r"""Fine-tunes an export with few labels or all, and tests it.

    python -m tools.finetune --flagfile=flags/eval/finetune_10pct.cfg --data_dir=DIR \
        --saved_model=runs/imagenet/export/STEP --workdir=runs/imagenet/finetune_10pct

Encoder and classifier have a learning rate each; --encoder_lr=0 freezes the encoder. It trains the
encoder.keras of the export, which stays as it is. Start the same command again after an
interruption: it continues at the last whole epoch. Prints top-1 and top-5 accuracy and appends them
to results.jsonl; tools.compare puts several runs side by side.
"""

import contextlib
import dataclasses
import hashlib
import os
from typing import Any

from absl import flags

from msbreg_tf.commands import cli
from msbreg_tf.errors import PreemptedError
from tools import _eval_flags

FLAGS = flags.FLAGS
_SHARED = (
    "saved_model",
    "dataset",
    "train_split",
    "test_split",
    "data_dir",
    "image_size",
    "results",
    "run_name",
)
_OWN = (
    "workdir",
    "classifier_lr",
    "encoder_lr",
    "epochs",
    "batch_size",
    "momentum",
    "fraction",
    "crop_area_min",
    "centre_crop",
    "seed",
    "cache_mb",
)


def define_flags() -> None:
    """Defines the shared evaluation flags and those of the training."""
    _eval_flags.define(_SHARED)
    flags.DEFINE_string("workdir", None, "Folder for the checkpoints of this fine-tuning.")
    flags.DEFINE_float(
        "classifier_lr",
        0.25,
        "Learning rate of the classifier at the start, not scaled by the batch size (supplement "
        "2.2: 2.0 for 1 % of ImageNet, 0.25 for 10 %).",
    )
    flags.DEFINE_float(
        "encoder_lr",
        2.5e-4,
        "Learning rate of the encoder at the start; 0 freezes it and its batch norm statistics "
        "(supplement 2.2: frozen for 1 %, 2.5e-4 for 10 %).",
    )
    flags.DEFINE_integer("epochs", 50, "Epochs of the cosine schedule (BYOL: 30 or 50).")
    flags.DEFINE_integer(
        "batch_size", 1024, "Images in a step; all of them if there are fewer (supplement 2.2)."
    )
    flags.DEFINE_float("momentum", 0.9, "Nesterov momentum of SGD (supplement 2.2).")
    flags.DEFINE_float(
        "fraction",
        1.0,
        "Part of --train_split to train on, equally many images of each class, chosen by --seed. "
        "1 for all. SimCLR's lists: --dataset=imagenet2012_subset/1pct or /10pct with 1.",
    )
    flags.DEFINE_float(
        "crop_area_min", 0.08, "Smallest random crop, as a fraction of the image's area (SimCLR)."
    )
    flags.DEFINE_float(
        "centre_crop",
        1.0,
        "Side of the test crop, as a fraction of the image's shorter side (SimCLR on ImageNet: "
        "0.875). The default is what the export does.",
    )
    flags.DEFINE_integer(
        "seed", 0, "Of the fraction, the classifier's initial weights, the order and the crops."
    )
    flags.DEFINE_integer(
        "cache_mb",
        4096,
        "Hold the encoded training images in memory if they need at most this many MiB; else "
        "stream them through a shuffle buffer.",
    )


def main(argv: list[str]) -> None:
    del argv
    from msbreg_tf.evaluation.finetune.settings import FineTuneRecipe

    recipe = FineTuneRecipe(
        **{field.name: getattr(FLAGS, field.name) for field in dataclasses.fields(FineTuneRecipe)}
    )
    if not FLAGS.workdir:
        raise ValueError(
            "--workdir is missing: name a folder for checkpoints, for example "
            "--workdir=runs/first/finetune."
        )
    export = _eval_flags.load_encoder()
    image_size = _eval_flags.image_size(export)

    from msbreg_tf.data.labelled.records import labelled_records
    from msbreg_tf.evaluation.finetune.model import load_keras_encoder
    from msbreg_tf.evaluation.finetune.training import fine_tune, open_splits
    from msbreg_tf.files.workdir import Workdir

    encoder = load_keras_encoder(export, image_size)
    train, test = (
        labelled_records(FLAGS.dataset, split, FLAGS.data_dir)
        for split in (FLAGS.train_split, FLAGS.test_split)
    )
    splits = open_splits(train, test, recipe, FLAGS.cache_mb)
    protocol = _protocol(recipe, splits, image_size)
    with contextlib.closing(Workdir(FLAGS.workdir)) as workdir, _Bar(recipe.epochs) as bar:
        workdir.claim(
            dataclasses.asdict(recipe) | {"image_size": image_size},
            facts={
                "encoder.keras": _digest(export),
                "training images": splits.train.fingerprint,
                "test images": splits.test_fingerprint,
            },
            defaults=dataclasses.asdict(FineTuneRecipe()),
        )
        result = fine_tune(
            encoder,
            splits,
            recipe,
            image_size=image_size,
            folder=workdir.path,
            on_epoch=bar.show,
        )
    _report(result, protocol, export, splits)


def _protocol(recipe, splits, image_size: int) -> dict[str, Any]:
    return {
        "name": "finetune",
        "dataset": FLAGS.dataset,
        "image_size": image_size,
        "train_split": FLAGS.train_split,
        "train_fingerprint": splits.train.fingerprint,
        "train_images": len(splits.train.labels),
        "test_split": FLAGS.test_split,
        "test_fingerprint": splits.test_fingerprint,
        "test_images": len(splits.test_labels),
        **recipe.protocol(),
    }


def _digest(export) -> str:
    """Of what is trained: the fingerprint of the export is of the SavedModel beside it."""
    digest = hashlib.sha256()
    with open(os.path.join(export.path, "encoder.keras"), "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


class _Bar:
    """Progress over epochs; a stop by Ctrl-C becomes one line that says how to go on."""

    def __init__(self, epochs: int):
        from tqdm import tqdm

        self._bar = tqdm(total=epochs, desc="fine-tuning", unit=" epochs", leave=False)

    def __enter__(self):
        return self

    def show(self, done: int, logs: dict[str, float]) -> None:
        """Moves the bar to `done` epochs."""
        self._bar.set_postfix(logs, refresh=False)
        self._bar.update(done - self._bar.n)

    def __exit__(self, kind, error, trace):
        self._bar.close()
        if kind is KeyboardInterrupt and self._bar.n:
            raise PreemptedError(
                f"Stopped. The same command continues after epoch {self._bar.n}."
            ) from error


def _report(result, protocol, export, splits) -> None:
    from msbreg_tf.evaluation.results.log import table

    values = {"top-1 %": 100 * result.top1}
    if result.top5 is not None:
        values["top-5 %"] = 100 * result.top5
    details = {"encoder.keras": _digest(export), "tested_images": result.test_images}
    path = _eval_flags.append_results(values, protocol, export, details)
    print(
        f"{protocol['network']} on {FLAGS.dataset} {FLAGS.test_split}: {result.test_images:,} "
        f"images, trained on {len(splits.train.labels):,}"
    )
    print(table([values]))
    print(f"Appended to {path}")


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_SHARED, *_OWN), training_flags=False)
