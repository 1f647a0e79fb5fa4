"""`python -m tools.quickstart`: train on the shipped images, and compare encoders."""

import os
from typing import Any

from msbreg_tf.commands.cli import Command
from msbreg_tf.errors import as_typed, note
from msbreg_tf.files.workdir import checked_path
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings

NEIGHBOURS = 20


def _run(*parts: Settings) -> None:
    config = Config(*parts)
    checked_path(config.run.workdir)

    from msbreg_tf.evaluation.results.text import table
    from msbreg_tf.run.pretraining import train

    rows = compare(config, train(config))
    print(f"\nTop-1 accuracy on the held-out images, % (seed {config.run.seed})")
    print(table(rows))
    _report(config)
    print(
        as_typed(
            "\nNext: python -m msbreg_tf.train --flagfile=flags/folder.cfg --data_dir=PATH "
            "--workdir=runs/mine"
        )
    )


def _report(config: Config) -> None:
    """Writes the run's report; without the libraries that it needs, a line says what to install."""
    from msbreg_tf.commands.report import ReportSettings, write_report

    folder = checked_path(config.run.workdir)
    print()
    try:
        write_report(ReportSettings(), [folder], os.path.join(folder, "report.html"))
    except ValueError as error:
        note(str(error))


def compare(config: Config, export: str) -> list[dict[str, Any]]:
    """Accuracy on the data set's test split, with neighbours and classifier from its train split.

    Args:
      config: the run's settings.
      export: folder of its SavedModel.

    Returns:
      Rows {"features": name, "20-NN": %, "linear": %}; no linear classifier for raw pixels.
    """
    import tensorflow as tf
    from tensorflow import keras

    from msbreg_tf.data.labelled.arrays import labelled_images
    from msbreg_tf.data.sources.table import labelled_splits
    from msbreg_tf.evaluation.features.extract import extract_features
    from msbreg_tf.evaluation.knn import knn_accuracy
    from msbreg_tf.evaluation.linear.probe import linear_probe
    from msbreg_tf.evaluation.linear.settings import LinearSettings
    from msbreg_tf.run.build import build_model

    data, run = config.data, config.run
    splits = {flag: getattr(run, flag) for flag in ("knn_train_split", "knn_test_split")}
    (train_images, train_labels), (test_images, test_labels) = (
        labelled_images(split, data.image_size)
        for split in labelled_splits(data.dataset, splits, data.data_dir)
    )
    keras.utils.set_random_seed(run.seed)  # the same initial weights as the run's
    untrained = build_model(config, total_steps=1)
    trained = tf.saved_model.load(export).signatures["serving_default"]
    encoders = {
        "raw pixels": lambda images: tf.reshape(images, [len(images), -1]),
        "untrained encoder": tf.function(lambda images: untrained(images, training=False)),
        "trained encoder": lambda images: trained(image=images)["embedding"],
    }
    rows = []
    for name, encoder in encoders.items():
        bank, queries = (extract_features(encoder, i) for i in (train_images, test_images))
        nearest = knn_accuracy(bank, train_labels, queries, test_labels, k=[NEIGHBOURS])
        row = {"features": name, f"{NEIGHBOURS}-NN": 100 * nearest[NEIGHBOURS]}
        if name != "raw pixels":
            probe = linear_probe(bank, train_labels, queries, test_labels, LinearSettings())
            row["linear"] = 100 * probe.top1
        rows.append(row)
    return rows


COMMAND = Command(PARTS, _run)
