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
from msbreg_tf.files.whole import fingerprint_of_json, sha256_of
from msbreg_tf.files.workdir import checked_path

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder
    from msbreg_tf.evaluation.finetune.model import FineTuner
    from msbreg_tf.evaluation.finetune.training import LabelledSplits


def measure(settings: FineTuneSettings, subject: Subject) -> Report:
    """Top-1 and top-5 accuracy beside a frozen probe's; continues from the last whole epoch.

    The classifier is exported into the workdir.

    Raises:
      PreemptedError: Ctrl-C after at least one epoch; the same command continues.
    """
    from msbreg_tf.evaluation.features.keras_twin import load_keras_encoder
    from msbreg_tf.evaluation.finetune.choosing import Probe, choose_rates
    from msbreg_tf.evaluation.finetune.training import accuracy_on, fine_tune, open_splits
    from msbreg_tf.files.workdir import Claim, Workdir

    image_size = subject.image_size
    load_keras_encoder(subject.encoder, image_size)  # refuses an unusable one before all else
    splits = open_splits(*subject.labelled_splits(), settings)
    concrete = settings.at(len(splits.train.labels))
    encoder_digest = _digest(subject.encoder)

    def pretrained():
        return load_keras_encoder(subject.encoder, image_size)

    claim = Claim(
        "fine-tuning",
        settings.result_values() | {"image_size": image_size},
        facts={
            "encoder.keras": encoder_digest,
            "training images": splits.train.fingerprint,
            "test images": splits.test_fingerprint,
        },
        defaults=FineTuneSettings().result_values(),
    )
    with contextlib.closing(Workdir(settings.workdir)) as workdir:
        workdir.claim(claim)
        choosing = f".choosing-{fingerprint_of_json([claim.settings, claim.facts])}"
        probe = Probe(subject.encoder, splits, image_size, settings.seed)
        frozen = probe.top1()
        start = probe if settings.start == "probe" else None
        with _progress(concrete.epochs) as show:
            concrete, tried = choose_rates(
                pretrained,
                splits,
                concrete,
                start,
                image_size=image_size,
                folder=workdir.file(choosing),
                on_epoch=show,
            )
            model = fine_tune(
                pretrained(),
                splits,
                concrete,
                image_size=image_size,
                folder=workdir.path,
                start=None if start is None else start.head(),
                on_epoch=lambda done, logs: show("fine-tuning", done, logs),
            )
        result = accuracy_on(
            model,
            splits.test,
            splits.test_labels,
            image_size=image_size,
            centre_crop=settings.centre_crop,
        )
        export = _export(model, splits, subject, concrete, workdir.path, result.top1)
    values = accuracies(result.top1, result.top5) | {"frozen probe top-1 %": 100 * frozen}
    images = subject.images_stamp(
        (splits.train.fingerprint, len(splits.train.labels)),
        (splits.test_fingerprint, result.test_images),
    )
    stamp = {"name": "finetune", **images, **settings.protocol()}
    details = {
        "encoder.keras": encoder_digest,
        "tested_images": result.test_images,
        "settings": concrete.stamp(),
        "tried": tried,
        "classifier": export,
    }
    text = _text(subject, stamp, values, concrete, tried, export)
    return Report(text, [Measurement(values, stamp, details)])


def _text(
    subject: Subject,
    stamp: dict[str, Any],
    values: dict[str, float],
    settings: FineTuneSettings,
    tried: dict[str, float],
    export: str,
) -> str:
    from msbreg_tf.evaluation.results.text import table

    given = subject.given
    lines = [
        f"Fine-tuning on {given['dataset']} {given['test_split']}: {stamp['test_images']:,} "
        f"images, trained on {stamp['train_images']:,}",
        table([values]),
        f"\n{settings.epochs} epochs in batches of {settings.batch_size}; learning rates: "
        f"classifier {settings.classifier_lr:g}, encoder {settings.encoder_lr:g}",
    ]
    if tried:
        shown = "; ".join(f"{rates}: {top1:.1f}" for rates, top1 in tried.items())
        lines.append(f"Chosen by top-1 % on a fifth of the training images ({shown})")
    lost = values["frozen probe top-1 %"] - values["top-1 %"]
    if lost > 0:
        lines.append(
            f"Fine-tuning did worse than a linear classifier on the frozen features, by {lost:.1f} "
            "points: use tools.linear_eval's protocol, or more labels."
        )
    lines.append(f"Exported the classifier to {export}")
    return "\n".join(lines)


def _export(
    model: "FineTuner",
    splits: "LabelledSplits",
    subject: Subject,
    settings: FineTuneSettings,
    folder: str,
    top1: float,
) -> str:
    """Writes <workdir>/export/<epochs>, once; returns its folder."""
    from msbreg_tf.evaluation.exporting import export_classifier, is_whole
    from msbreg_tf.evaluation.results.log import versions

    path = os.path.join(folder, "export", str(settings.epochs))
    if not is_whole(path, "classifier"):
        facts = {
            "encoder": subject.encoder.fingerprint,
            "settings": {name: value for name, value in settings.stamp().items()},
            "test top-1 %": 100 * top1,
            "versions": versions(),
        }
        export_classifier(
            model.probabilities(),
            path,
            classes=splits.classes,
            image_size=subject.image_size,
            metadata=facts,
        )
    return path


def _digest(export: "ExportedEncoder") -> str:
    """Of what is trained: the export's own fingerprint is that of the SavedModel beside it."""
    return sha256_of(os.path.join(export.path, "encoder.keras"))[:16]


@contextlib.contextmanager
def _progress(epochs: int) -> Iterator[Any]:
    """A bar over epochs; yields what shows (stage, epochs done, logs of the last one).

    Raises:
      PreemptedError: in the body, Ctrl-C after at least one epoch.
    """
    shown = False
    with tqdm(total=epochs, unit=" epochs", leave=False) as bar:

        def show(stage: str, done: int, logs: dict[str, float]) -> None:
            nonlocal shown
            shown = True
            bar.set_description(stage, refresh=False)
            bar.set_postfix(logs, refresh=False)
            if done < bar.n:  # another stage
                bar.reset()
            bar.update(done - bar.n)

        try:
            yield show
        except KeyboardInterrupt as error:
            if not shown:
                raise
            raise PreemptedError(
                "Stopped. The same command continues after the last whole epoch."
            ) from error


PROTOCOL = Protocol(
    FineTuneSettings,
    (ExportSettings, TestSettings, TrainSettings, RecordSettings),
    measure,
    check=lambda settings: checked_path(settings.workdir),
)
