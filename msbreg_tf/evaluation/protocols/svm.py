"""VOC07: one linear SVM for each class on frozen features (METHOD.md, "Evaluation")."""

import contextlib
import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any, Optional

from tqdm import tqdm

from msbreg_tf.errors import note
from msbreg_tf.evaluation.protocols.protocol import Measurement, Protocol, Report, Subject
from msbreg_tf.evaluation.settings import FROZEN_FEATURES
from msbreg_tf.files.lock import optional_folder
from msbreg_tf.files.whole import fingerprint_of_json, write_text_whole
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.cache import Features
    from msbreg_tf.evaluation.svm.machines import ClassResult

_VOC07 = {"dataset": "voc/2007", "train_split": "train+validation", "test_split": "test"}


@dataclasses.dataclass(frozen=True)
class SVMSettings(Settings):
    """The machines."""

    costs: tuple[float, ...] = setting(
        (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0),
        "Grid of the SVM's cost C, chosen for each class by 3-fold average precision.",
        above=0,
        source="VISSL",
    )
    jobs: Optional[int] = setting(
        None,
        "Classes trained at once, a process each (default: one per CPU core).",
        low=1,
        changes_result=False,
    )


def measure(settings: SVMSettings, subject: Subject) -> Report:
    """Mean average precision; classes that an interrupted evaluation has finished are kept."""
    import numpy as np

    names, train = _features(subject, "train_split")
    _, test = _features(subject, "test_split")
    stamp = _stamp(settings, subject, train, test)
    results = _results(settings, subject, names, train, test, stamp)
    means = {
        "mAP %": 100 * np.mean([r.average_precision for r in results.values()]),
        "mAP 11-point %": 100 * np.mean([r.average_precision_11 for r in results.values()]),
    }
    details = {name: dataclasses.asdict(result) for name, result in results.items()}
    text = _text(results, means, subject, len(train.labels), len(test.labels))
    return Report(text, [Measurement(means, stamp, details)])


def _features(subject: Subject, split: str) -> tuple[tuple[str, ...], "Features"]:
    """Names of the classes, and `Features` whose labels are the targets [n, C]."""
    import numpy as np

    from msbreg_tf.data.labelled.multilabel import open_multilabel
    from msbreg_tf.evaluation.features.blocks import BlockStore, embed_blocks, stored_features
    from msbreg_tf.evaluation.features.cache import Features

    given = subject.given
    data = open_multilabel(
        given["dataset"],
        given[split],
        given["data_dir"],
        flag=split,
        megapixels=given["max_megapixels"],
    )
    count = len(data.targets)
    job = {
        "export": subject.encoder.fingerprint,
        "image_size": subject.image_size,
        "images": [given["dataset"], given[split], data.fingerprint],
    }
    folder = subject.cache_folder(f"objects-{fingerprint_of_json(job)}")
    called = f"--cache_dir={given['cache_dir']}"
    with contextlib.closing(BlockStore(folder, job, called=called, optional=True)) as store:
        embed_blocks(
            subject.encoder.embed,
            data.images(subject.image_size),
            count,
            store,
            batch_size=given["batch_size"],
            name=f"{given['dataset']} {given[split]}",
        )
        features = np.concatenate(list(stored_features(store, count)))
    return data.names, Features(features, data.targets, data.fingerprint)


def _stamp(
    settings: SVMSettings, subject: Subject, train: "Features", test: "Features"
) -> dict[str, Any]:
    from msbreg_tf.evaluation.svm import machines

    return {
        **subject.frozen_stamp("svm", train, test),
        "classifier": "one linear SVM per class, squared hinge, weights {1: 2, -1: 1}",
        "normalisation": "x / (|x| + 1e-5)",
        **settings.stamp(),
        "cost_selection": f"{machines.FOLDS}-fold average precision on the training split",
        "max_iterations": machines.MAX_ITERATIONS,
        "difficult": "negative in training, left out of the test",
    }


def _results(
    settings: SVMSettings,
    subject: Subject,
    names: tuple[str, ...],
    train: "Features",
    test: "Features",
    stamp: dict[str, Any],
) -> dict[str, "ClassResult"]:
    """{name of the class: result}."""
    from msbreg_tf.evaluation.svm.machines import svm_results

    key = fingerprint_of_json({"export": subject.encoder.fingerprint, **stamp})
    called = f"--cache_dir={subject.given['cache_dir']}"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(optional_folder(subject.cache_folder(f"svm-{key}"), called))
        log = ClassLog(pathlib.Path(folder, "classes.jsonl") if folder else None)
        bar = stack.enter_context(
            tqdm(total=len(names), initial=len(log.done), desc="classes", leave=False)
        )

        def on_class(column: int, result: "ClassResult") -> None:
            log.append(column, result)
            bar.update()

        results = svm_results(
            train.features,
            train.labels,
            test.features,
            test.labels,
            costs=settings.costs,
            jobs=settings.jobs or os.cpu_count() or 1,
            names=names,
            done=log.done,
            on_class=on_class,
        )
    return {names[column]: result for column, result in results.items()}


def _text(
    results: dict[str, "ClassResult"],
    means: dict[str, float],
    subject: Subject,
    num_train: int,
    num_test: int,
) -> str:
    from msbreg_tf.evaluation.results.text import table

    rows = [
        {
            "class": name,
            "AP %": 100 * result.average_precision,
            "AP 11-point %": 100 * result.average_precision_11,
            "C": f"{result.cost:g}",
        }
        for name, result in results.items()
    ]
    mean = {"class": "mean", "AP %": means["mAP %"], "AP 11-point %": means["mAP 11-point %"]}
    lines = [
        f"Linear SVMs on {subject.given['dataset']}: {num_train:,} to {num_test:,} images",
        table([*rows, {**mean, "C": ""}]),
    ]
    if late := [name for name, result in results.items() if not result.converged]:
        lines.append(f"Stopped before convergence, as in VISSL: {', '.join(late)}")
    return "\n".join(lines)


class ClassLog:
    """The finished classes of one evaluation, a JSON line each."""

    def __init__(self, path: Optional[pathlib.Path]):
        """Reads what an earlier process has finished; None keeps nothing."""
        from msbreg_tf.evaluation.svm.machines import ClassResult

        self._path = path
        self.done: dict[int, ClassResult] = {}
        for line in path.read_text().splitlines() if path and path.exists() else ():
            fields = json.loads(line)
            column, folds = fields.pop("class"), tuple(fields.pop("cross_validation"))
            self.done[column] = ClassResult(**fields, cross_validation=folds)

    def append(self, column: int, result: "ClassResult") -> None:
        """Adds a class."""
        self.done[column] = result
        lines = [
            json.dumps({"class": column, **dataclasses.asdict(result)}) + "\n"
            for column, result in self.done.items()
        ]
        try:
            if self._path is not None:
                write_text_whole(self._path, "".join(lines))
        except OSError as error:
            note(f"{self._path}: can't be written ({error.strerror}); going on without it.")
            self._path = None


PROTOCOL = Protocol(
    SVMSettings,
    FROZEN_FEATURES,
    measure,
    _VOC07,
)
