"""Fine-tuning with few labels or all (supplement 2.2), and from several starts."""

import contextlib
import os
from typing import TYPE_CHECKING, Any

from msbreg_tf.evaluation.finetune.settings import SCRATCH, ComparisonSettings, FineTuneSettings
from msbreg_tf.evaluation.protocols.protocol import Protocol, Report, Subject
from msbreg_tf.evaluation.settings import (
    ExportSettings,
    RecordSettings,
    TestSettings,
    TrainSettings,
)
from msbreg_tf.files.tensors.table import check_file
from msbreg_tf.files.whole import fingerprint_of_json
from msbreg_tf.files.workdir import checked_path

if TYPE_CHECKING:
    from msbreg_tf.evaluation.finetune.part import Outcome
    from msbreg_tf.evaluation.finetune.training import LabelledSplits


def measure(settings: ComparisonSettings, subject: Subject) -> Report:
    """Top-1 and top-5 accuracy beside a frozen probe's; continues from the last whole epoch.

    The classifier is exported into the workdir. With `compare`, see `compare_starts`.

    Raises:
      PreemptedError: Ctrl-C after at least one epoch; the same command continues.
    """
    if settings.compare:
        from msbreg_tf.evaluation.finetune.comparing import compare_starts

        return compare_starts(settings, subject)
    return _measure_one(settings, subject)


def _measure_one(settings: FineTuneSettings, subject: Subject) -> Report:
    from msbreg_tf.evaluation.finetune.part import measurement, run_part
    from msbreg_tf.evaluation.finetune.starts import Pretrained
    from msbreg_tf.evaluation.finetune.training import open_splits
    from msbreg_tf.files.workdir import Claim, Workdir

    start = Pretrained(subject.encoder, subject.image_size)  # refuses an unusable one before all
    splits = open_splits(*subject.labelled_splits(), settings)
    claim = Claim(
        "fine-tuning",
        settings.result_values() | {"image_size": subject.image_size},
        facts={
            "encoder.keras": start.digest,
            "training images": splits.train.fingerprint,
            "test images": splits.test_fingerprint,
        },
        defaults=FineTuneSettings().result_values(),
    )
    with contextlib.closing(Workdir(settings.workdir)) as workdir:
        workdir.claim(claim)
        choosing = f".choosing-{fingerprint_of_json([claim.settings, claim.facts])}"
        outcome = run_part(
            start,
            splits,
            settings,
            image_size=subject.image_size,
            folder=workdir.path,
            choosing=workdir.file(choosing),
        )
        export = _export(outcome, splits, subject, workdir.path)
    details = {"encoder.keras": start.digest, "classifier": export}
    found = measurement(outcome, start, splits, settings, subject, details)
    return Report(_text(subject, found.protocol, outcome, export), [found])


def _text(subject: Subject, stamp: dict[str, Any], outcome: "Outcome", export: str) -> str:
    from msbreg_tf.evaluation.results.text import table

    given, settings, values = subject.given, outcome.settings, outcome.values()
    lines = [
        f"Fine-tuning on {given['dataset']} {given['test_split']}: {stamp['test_images']:,} "
        f"images, trained on {stamp['train_images']:,}",
        table([values]),
        f"\n{settings.epochs} epochs in batches of {settings.batch_size}; learning rates: "
        f"classifier {settings.classifier_lr:g}, encoder {settings.encoder_lr:g}",
    ]
    if outcome.tried:
        shown = "; ".join(f"{rates}: {top1:.1f}" for rates, top1 in outcome.tried.items())
        lines.append(f"Chosen by top-1 % on a fifth of the training images ({shown})")
    lost = values["frozen probe top-1 %"] - values["top-1 %"]
    if lost > 0:
        lines.append(
            f"Fine-tuning did worse than a linear classifier on the frozen features, by {lost:.1f} "
            "points: use tools.linear_eval's protocol, or more labels."
        )
    lines.append(f"Exported the classifier to {export}")
    return "\n".join(lines)


def _export(outcome: "Outcome", splits: "LabelledSplits", subject: Subject, folder: str) -> str:
    """Writes <workdir>/export/<epochs>, once; returns its folder."""
    from msbreg_tf.evaluation.exporting import export_classifier, is_whole
    from msbreg_tf.evaluation.results.log import versions

    path = os.path.join(folder, "export", str(outcome.settings.epochs))
    if not is_whole(path, "classifier"):
        facts = {
            "encoder": subject.encoder.fingerprint,
            "settings": outcome.settings.stamp(),
            "test top-1 %": 100 * outcome.result.top1,
            "versions": versions(),
        }
        export_classifier(
            outcome.model.probabilities(),
            path,
            classes=splits.classes,
            image_size=subject.image_size,
            metadata=facts,
        )
    return path


def _check(settings: ComparisonSettings) -> None:
    """Refuses paths that can't work, before anything slow begins."""
    checked_path(settings.workdir)
    for start in settings.compare:
        if start != SCRATCH and not os.path.isdir(os.path.expanduser(start)):
            check_file(start, "compare", f"{SCRATCH}, ")
    if settings.picture is not None:
        folder = os.path.dirname(os.path.abspath(os.path.expanduser(settings.picture)))
        if not settings.picture.lower().endswith(".png") or not os.path.isdir(folder):
            raise ValueError(
                f"--picture={settings.picture}: expected a .png file in a folder that exists."
            )


PROTOCOL = Protocol(
    ComparisonSettings,
    (ExportSettings, TestSettings, TrainSettings, RecordSettings),
    measure,
    check=_check,
)
