"""Did pretraining help? The same labels, subset and schedule from several starts."""

import contextlib
import json
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from msbreg_tf.data.labelled.records import read_labels
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.evaluation.finetune.part import measurement, run_part
from msbreg_tf.evaluation.finetune.settings import ComparisonSettings, FineTuneSettings
from msbreg_tf.evaluation.finetune.starts import Elsewhere, Start, starts_of
from msbreg_tf.evaluation.finetune.training import open_splits
from msbreg_tf.evaluation.labels import check_classes
from msbreg_tf.evaluation.protocols.protocol import Report, Subject
from msbreg_tf.evaluation.results.curves import draw_accuracies
from msbreg_tf.evaluation.results.text import table
from msbreg_tf.evaluation.subsets import class_balanced
from msbreg_tf.files.whole import fingerprint, write_text_whole
from msbreg_tf.files.workdir import Claim, Workdir

_METRIC = "top-1 %"


class Done(NamedTuple):
    """A part that is done; parts/<name>.json holds it."""

    start: str
    fraction: float
    seed: int
    labels: int
    top1: float  # in %


def compare_starts(settings: ComparisonSettings, subject: Subject) -> Report:
    """Fine-tunes from the export and from each other start, for each fraction and seed.

    Every part is recorded when it is done, and not run again. Its checkpoints are removed then,
    and its classifier is not exported.

    Raises:
      PreemptedError: Ctrl-C after at least one epoch; the same command continues.
    """
    starts = starts_of(subject.encoder, subject.image_size, settings.compare)
    train, test = subject.labelled_splits()
    with contextlib.closing(Workdir(settings.workdir)) as workdir:
        workdir.claim(_claim(settings, subject, starts[0], train, test))
        done = []
        for part in _parts(settings, starts, train, test):
            done.append(_run_or_read(*part, subject, workdir))
            place = f"{len(done)} of {len(starts) * len(settings.parts())}"
            print(f"{place}: {_title(*part[:2])}: {done[-1].top1:.2f} %", flush=True)
        names = [start.name for start in starts]
        picture = os.path.expanduser(settings.picture or workdir.file("accuracy.png"))
        lines = [_text(settings, subject, names, done), _picture(picture, subject, names, done)]
    lines += [f"{s.name}: {s.described}" for s in starts if isinstance(s, Elsewhere)]
    return Report("\n".join(lines), [])


def _claim(
    settings: ComparisonSettings,
    subject: Subject,
    pretrained: Start,
    train: LabelledRecords,
    test: LabelledRecords,
) -> Claim:
    """What all parts have in common; refuses what some of them could not be done with."""
    labels, test_labels = read_labels(train), read_labels(test)
    check_classes(labels, test_labels)
    try:
        for part in settings.parts():
            class_balanced(labels, part.fraction, part.seed)
    except ValueError as error:  # of a flag that a comparison has in the plural
        raise ValueError(str(error).replace("--fraction=", "--fractions=")) from None

    def common(given: FineTuneSettings) -> dict[str, Any]:
        own = {"fraction", "seed"}
        return {name: v for name, v in given.result_values().items() if name not in own}

    return Claim(
        "comparison of starts",
        common(settings) | {"image_size": subject.image_size},
        facts={
            "encoder.keras": pretrained.digest,
            "training images": fingerprint(labels.tobytes(), train.pixels),
            "test images": fingerprint(test_labels.tobytes(), test.pixels),
        },
        defaults=common(FineTuneSettings()),
    )


def _parts(
    settings: ComparisonSettings,
    starts: Sequence[Start],
    train: LabelledRecords,
    test: LabelledRecords,
) -> Iterator[tuple[Start, FineTuneSettings, Any]]:
    """Every start with the settings of a part and what opens its images, which the starts share."""
    for part in settings.parts():
        opened: list = []

        def splits(part=part, opened=opened):
            if not opened:
                opened.append(open_splits(train, test, part))
            return opened[0]

        for start in starts:
            yield start, part, splits


def _run_or_read(start: Start, settings: FineTuneSettings, splits, subject, workdir) -> Done:
    name = f"{start.digest}-{settings.fraction:g}-seed{settings.seed}"
    record, folder = workdir.file("parts", f"{name}.json"), workdir.file("parts", name)
    if os.path.exists(record):
        with open(record) as file:
            return Done(**json.load(file))._replace(start=start.name)
    os.makedirs(folder, exist_ok=True)
    outcome = run_part(
        start,
        splits(),
        settings,
        image_size=subject.image_size,
        folder=folder,
        choosing=os.path.join(folder, "choosing"),
        title=f"{_title(start, settings)}: ",
    )
    found = measurement(outcome, start, splits(), settings, subject, {"start": start.name})
    subject.record(found)
    labels = len(splits().train.labels)
    done = Done(start.name, settings.fraction, settings.seed, labels, found.values[_METRIC])
    write_text_whole(record, json.dumps(done._asdict()))
    shutil.rmtree(folder, ignore_errors=True)
    return done


def _title(start: Start, settings: FineTuneSettings) -> str:
    return f"{start.name}, {100 * settings.fraction:g} % of the labels, seed {settings.seed}"


def _values(done: Sequence[Done], start: str, fraction: float) -> list[float]:
    """Top-1 in %, one for each seed, in their order."""
    return [each.top1 for each in done if (each.start, each.fraction) == (start, fraction)]


def _text(
    settings: ComparisonSettings, subject: Subject, names: Sequence[str], done: Sequence[Done]
) -> str:
    given = subject.given
    seeds = ", ".join(map(str, settings.seeds))
    several = len(settings.seeds) > 1
    spread = f"mean ± standard deviation over seeds {seeds}" if several else f"seed {seeds}"
    rows, gains = [], []
    for fraction in settings.fractions:
        values = {name: _values(done, name, fraction) for name in names}
        labels = _labels(done, fraction)
        shown = {name: _mean(found) for name, found in values.items()}
        rows.append({"labels": f"{labels:,} ({100 * fraction:g} %)", **shown})
        gains += [_gain(values[names[0]], values[name], name, labels) for name in names[1:]]
    title = f"Fine-tuning on {given['dataset']} {given['test_split']}, {_METRIC}, {spread}"
    return "\n".join([title, table(rows), "", *gains])


def _labels(done: Sequence[Done], fraction: float) -> int:
    """Training images of a fraction; seeds may differ by files that can't be read."""
    return round(np.mean([each.labels for each in done if each.fraction == fraction]))


def _mean(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def _gain(ours: Sequence[float], theirs: Sequence[float], name: str, labels: int) -> str:
    """The difference of the means, and in how many seeds it has that sign."""
    gains = [a - b for a, b in zip(ours, theirs)]
    mean = statistics.mean(gains)
    if not mean:
        return f"With {labels:,} labels, pretrained and {name} are equal."
    alike = sum(gain * mean > 0 for gain in gains)
    side = "better" if mean > 0 else "worse"
    return (
        f"With {labels:,} labels, pretrained is {abs(mean):.2f} points {side} than {name}, in "
        f"{alike} of {len(gains)} seeds."
    )


def _picture(path: str, subject: Subject, names: Sequence[str], done: Sequence[Done]) -> str:
    """Draws accuracy against labels; says where, or why not."""
    fractions = sorted({each.fraction for each in done})
    curves = {
        name: [(_labels(done, fraction), _values(done, name, fraction)) for fraction in fractions]
        for name in names
    }
    title = f"{subject.given['dataset']} {subject.given['test_split']}"
    why_not: Optional[str] = draw_accuracies(path, curves, title)
    return why_not or f"Drew {path}"
