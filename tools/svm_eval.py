r"""Trains a linear SVM per class on frozen features, and prints the mean average precision.

    python -m tools.svm_eval --saved_model=runs/imagenet/export/STEP --flagfile=flags/eval/voc07.cfg

VOC07's protocol with VISSL's settings. Labels come from the objects of a TFDS data set. Start the
same command again after an interruption: features and finished classes are kept in --cache_dir.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile

import numpy as np
from absl import flags
from tqdm import tqdm

from msbreg_tf.commands import cli
from tools import _eval_flags

FLAGS = flags.FLAGS
_DATASET = {"dataset": "voc/2007", "train_split": "train+validation", "test_split": "test"}
_OWN = ("costs", "jobs")


def define_flags() -> None:
    """Defines the shared evaluation flags, with VOC07's defaults, and --costs and --jobs."""
    _eval_flags.define()
    for name, default in _DATASET.items():
        FLAGS.set_default(name, default)
    flags.DEFINE_string(
        "costs",
        "0.01,0.1,1,2,5,10,15,20,50,100,1000",
        "Grid of the SVM's cost C, chosen per class by 3-fold average precision (VISSL).",
    )
    flags.DEFINE_integer(
        "jobs", None, "Classes trained at once, a process each (default: one per CPU core)."
    )


def main(argv: list[str]) -> None:
    del argv
    costs = _costs(FLAGS.costs)
    if FLAGS.jobs is not None and FLAGS.jobs < 1:
        raise ValueError(f"--jobs={FLAGS.jobs}: expected at least 1.")
    encoder = _eval_flags.load_encoder()

    from msbreg_tf.evaluation.results.log import table  # late, as it is slow

    with contextlib.ExitStack() as stack:
        cache = _eval_flags.cache_dir() or stack.enter_context(tempfile.TemporaryDirectory())
        names, train = _features(encoder, FLAGS.train_split, cache)
        _, test = _features(encoder, FLAGS.test_split, cache)
        protocol = _protocol(encoder, train, test, costs)
        results = _results(encoder, names, train, test, protocol, cache)
    means = {
        "mAP %": 100 * np.mean([r.average_precision for r in results.values()]),
        "mAP 11-point %": 100 * np.mean([r.average_precision_11 for r in results.values()]),
    }
    details = {name: dataclasses.asdict(result) for name, result in results.items()}
    path = _eval_flags.append_results(means, protocol, encoder, details)
    print(f"Linear SVMs on {FLAGS.dataset}: {len(train.labels):,} to {len(test.labels):,} images")
    print(table(_rows(results, means)))
    if late := [name for name, result in results.items() if not result.converged]:
        print(f"Stopped before convergence, as in VISSL: {', '.join(late)}")
    print(f"Appended to {path}")


def _protocol(encoder, train, test, costs: tuple[float, ...]) -> dict:
    from msbreg_tf.evaluation.svm import machines as svm

    return _eval_flags.protocol(
        "svm",
        encoder,
        train,
        test,
        classifier="one linear SVM per class, squared hinge, weights {1: 2, -1: 1}",
        normalisation="x / (|x| + 1e-5)",
        costs=costs,
        cost_selection=f"{svm.FOLDS}-fold average precision on the training split",
        max_iterations=svm.MAX_ITERATIONS,
        difficult="negative in training, left out of the test",
    )


def _results(encoder, names, train, test, protocol: dict, cache: str) -> dict:
    """{name of the class: result}; classes that an interrupted run has finished are not redone."""
    from msbreg_tf.evaluation.features.blocks import key_of
    from msbreg_tf.evaluation.svm import machines as svm

    key = key_of({"export": encoder.fingerprint, **protocol})
    log = _ClassLog(pathlib.Path(cache, f"svm-{key}.jsonl"), svm.ClassResult)
    with tqdm(total=len(names), initial=len(log.done), desc="classes") as bar:
        results = svm.svm_results(
            *(train.features, train.labels, test.features, test.labels),
            costs=protocol["costs"],
            jobs=FLAGS.jobs or os.cpu_count() or 1,
            names=names,
            done=log.done,
            on_class=lambda column, result: (log.append(column, result), bar.update()),
        )
    return {names[column]: result for column, result in results.items()}


def _rows(results: dict, means: dict[str, float]) -> list[dict]:
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
    return [*rows, {**mean, "C": ""}]


def _features(encoder, split: str, cache: str):
    """Names of the classes, and `Features` whose labels are the targets [n, C]."""
    from msbreg_tf.data.labelled.multilabel import open_multilabel
    from msbreg_tf.evaluation.features.blocks import (
        BlockStore,
        embed_blocks,
        key_of,
        stored_features,
    )
    from msbreg_tf.evaluation.features.cache import Features

    data = open_multilabel(FLAGS.dataset, split, FLAGS.data_dir)
    size, count = _eval_flags.image_size(encoder), len(data.targets)
    job = {
        "export": encoder.fingerprint,
        "image_size": size,
        "images": [FLAGS.dataset, split, data.fingerprint],
    }
    store = BlockStore(os.path.join(cache, f"objects-{key_of(job)}"), job)
    embed_blocks(
        encoder.embed,
        data.images(size),
        count,
        store,
        batch_size=FLAGS.batch_size,
        name=f"{FLAGS.dataset} {split}",
    )
    features = np.concatenate(list(stored_features(store, count)))
    return data.names, Features(features, data.targets, data.fingerprint)


class _ClassLog:
    """The finished classes of one evaluation, a JSON line each."""

    def __init__(self, path: pathlib.Path, result_type):
        self._path = path
        self.done = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            fields = json.loads(line)
            column, folds = fields.pop("class"), tuple(fields.pop("cross_validation"))
            self.done[column] = result_type(**fields, cross_validation=folds)

    def append(self, column: int, result) -> None:
        from msbreg_tf.evaluation.features.blocks import write_whole

        self.done[column] = result
        lines = [
            json.dumps({"class": column, **dataclasses.asdict(result)}) + "\n"
            for column, result in self.done.items()
        ]
        write_whole(self._path, lambda file: file.write("".join(lines).encode()))


def _costs(text: str) -> tuple[float, ...]:
    try:
        costs = tuple(float(part) for part in text.split(","))
    except ValueError:
        costs = (0.0,)
    if not all(cost > 0 for cost in costs):
        raise ValueError(f"--costs={text}: expected numbers above 0, joined by commas: 0.1,1,10.")
    return costs


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_eval_flags.NAMES, *_OWN), training_flags=False)
