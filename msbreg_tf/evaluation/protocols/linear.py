"""A linear classifier on frozen features (supplement 2.1), and transfer by it (2.4)."""

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from tqdm import tqdm

from msbreg_tf.evaluation.linear.settings import LinearSettings
from msbreg_tf.evaluation.protocols.protocol import (
    Measurement,
    Protocol,
    Report,
    Subject,
    accuracies,
)
from msbreg_tf.evaluation.settings import FROZEN_FEATURES
from msbreg_tf.files.lock import optional_folder
from msbreg_tf.files.whole import fingerprint_of_json

if TYPE_CHECKING:
    from msbreg_tf.evaluation.linear.probe import Choice


def measure(settings: LinearSettings, subject: Subject) -> Report:
    """Top-1 and top-5 accuracy, and the point of the grid that was chosen."""
    from msbreg_tf.evaluation.linear.probe import linear_probe
    from msbreg_tf.evaluation.results.text import table

    train, test = subject.train_and_test_features()
    stamp = subject.frozen_stamp("linear", train, test) | settings.protocol()
    key = fingerprint_of_json([subject.encoder.fingerprint, stamp])
    called = f"--cache_dir={subject.given['cache_dir']}"
    with optional_folder(subject.cache_folder(f"linear-{key}"), called) as folder:
        result = linear_probe(
            train.features,
            train.labels,
            test.features,
            test.labels,
            settings,
            on_epoch=_Bars(settings.epochs).show,
            resume_folder=folder,
        )
    values = accuracies(result.top1, result.top5)
    choice = result.choice
    row = {
        "top-1 %": values["top-1 %"],
        "top-5 %": values.get("top-5 %"),
        "learning rate": f"{choice.learning_rate:g}",
        "weight decay": f"{choice.weight_decay:g}",
    }
    lines = [
        f"Linear classifier on {subject.given['dataset']} {subject.given['test_split']}: "
        f"{len(test.labels):,} images, trained on {len(train.labels):,}",
        table([row]),
        *_about_choice(choice, settings),
    ]
    measurement = Measurement(values, stamp, choice.as_json())
    return Report("\n".join(lines), [measurement], lambda: _remove(folder))


def _about_choice(choice: "Choice", settings: LinearSettings) -> Sequence[str]:
    from msbreg_tf.evaluation.results.text import table

    lines = []
    if choice.validation_top1:
        lines.append("\nTop-1 % on the validation part of the training split, by weight decay")
        rows = {}
        for (rate, decay), top1 in choice.validation_top1.items():
            row = rows.setdefault(rate, {"learning rate": f"{rate:g}"})
            row[f"{decay:g}"] = 100 * top1
        lines.append(table(list(rows.values())))
    for half in choice.at_edge:
        lines.append(
            f"Note: the best point lies at an end of --{half}; a wider grid may have a better."
        )
    if choice.converged is False:
        lines.append(
            f"Note: not converged at the best point, so --epochs={settings.epochs} is part of the "
            "result: training on lowers the training loss."
        )
    return lines


def _remove(folder: Optional[str]) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


class _Bars:
    """A progress bar for each stage."""

    def __init__(self, epochs: int):
        self._epochs = epochs
        self._stage, self._bar = None, None

    def show(self, stage: str, done: int) -> None:
        """Moves the bar of `stage` to `done` epochs."""
        if stage != self._stage:
            self._stage = stage
            self._bar = tqdm(total=self._epochs, desc=stage, unit=" epochs", leave=False)
        self._bar.update(done - self._bar.n)
        if done == self._epochs:
            self._bar.close()


PROTOCOL = Protocol(
    LinearSettings,
    FROZEN_FEATURES,
    measure,
)
