"""Fine-tuning with few labels or all (supplement 2.2)."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from msbreg_tf.errors import PreemptedError
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.protocols.protocol import (
    Measurement,
    Protocol,
    Report,
    Subject,
    accuracies,
)
from msbreg_tf.evaluation.settings import (
    ExportSettings,
    RecordSettings,
    TestSettings,
    TrainSettings,
)
from msbreg_tf.files.whole import sha256_of

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder


def measure(settings: FineTuneSettings, subject: Subject) -> Report:
    """Top-1 and top-5 accuracy; continues from the last whole epoch in the workdir.

    Raises:
      PreemptedError: Ctrl-C after at least one epoch; the same command continues.
    """
    if not settings.workdir:
        raise ValueError(
            "--workdir is missing: name a folder for checkpoints, for example "
            "--workdir=runs/first/finetune."
        )
    from msbreg_tf.evaluation.finetune.model import load_keras_encoder
    from msbreg_tf.evaluation.finetune.training import fine_tune, open_splits
    from msbreg_tf.evaluation.results.text import table
    from msbreg_tf.files.workdir import Claim, Workdir

    given, image_size = subject.given, subject.image_size
    encoder = load_keras_encoder(subject.encoder, image_size)
    splits = open_splits(*subject.labelled_splits(), settings)
    digest = _digest(subject.encoder)
    with contextlib.closing(Workdir(settings.workdir)) as workdir:
        workdir.claim(
            Claim(
                "fine-tuning",
                settings.result_values() | {"image_size": image_size},
                facts={
                    "encoder.keras": digest,
                    "training images": splits.train.fingerprint,
                    "test images": splits.test_fingerprint,
                },
                defaults=FineTuneSettings().result_values(),
            )
        )
        with _progress(settings.epochs) as show:
            result = fine_tune(
                encoder,
                splits,
                settings,
                image_size=image_size,
                folder=workdir.path,
                on_epoch=show,
            )
    values = accuracies(result.top1, result.top5)
    images = subject.images_stamp(
        (splits.train.fingerprint, len(splits.train.labels)),
        (splits.test_fingerprint, result.test_images),
    )
    stamp = {"name": "finetune", **images, **settings.protocol()}
    text = (
        f"{stamp['network']} on {given['dataset']} {given['test_split']}: "
        f"{result.test_images:,} images, trained on {len(splits.train.labels):,}\n{table([values])}"
    )
    details = {"encoder.keras": digest, "tested_images": result.test_images}
    return Report(text, [Measurement(values, stamp, details)])


def _digest(export: "ExportedEncoder") -> str:
    """Of what is trained: the export's own fingerprint is that of the SavedModel beside it."""
    return sha256_of(os.path.join(export.path, "encoder.keras"))[:16]


@contextlib.contextmanager
def _progress(epochs: int) -> Iterator[Any]:
    """A bar over epochs; yields what shows (epochs done, logs of the last one).

    Raises:
      PreemptedError: in the body, Ctrl-C after at least one epoch.
    """
    with tqdm(total=epochs, desc="fine-tuning", unit=" epochs", leave=False) as bar:

        def show(done: int, logs: dict[str, float]) -> None:
            bar.set_postfix(logs, refresh=False)
            bar.update(done - bar.n)

        try:
            yield show
        except KeyboardInterrupt as error:
            if not bar.n:
                raise
            raise PreemptedError(
                f"Stopped. The same command continues after epoch {bar.n}."
            ) from error


PROTOCOL = Protocol(
    FineTuneSettings, (ExportSettings, TestSettings, TrainSettings, RecordSettings), measure
)
