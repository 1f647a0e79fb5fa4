"""Flags that the evaluation tools share, each defined once."""

import os
from collections.abc import Sequence
from typing import Any, Optional

from absl import flags

FLAGS = flags.FLAGS

NAMES = (
    "saved_model",
    "dataset",
    "train_split",
    "test_split",
    "data_dir",
    "image_size",
    "batch_size",
    "cache_dir",
    "results",
    "run_name",
)
_DEFAULT_CACHE = "~/.cache/msbreg_tf/features"


def define(names: Sequence[str] = NAMES) -> None:
    """Defines the shared flags called `names`; call it where the program starts.

    Not at import: tools import one another, and the training settings have some of these names.
    """
    for name in names:
        kind, default, text = _DEFINITIONS[name]
        kind(name, default, text)


def load_encoder():
    """The encoder that --saved_model names; ValueError if there is none."""
    if not FLAGS.saved_model:
        raise ValueError(
            "--saved_model is missing: give an export, for example "
            "--saved_model=runs/quickstart/export/STEP."
        )
    from msbreg_tf.evaluation.features.exported import (
        load_encoder as load,  # late: it waits for TensorFlow
    )

    return load(FLAGS.saved_model)


def image_size(encoder) -> int:
    """Side S in pixels that images are brought to: --image_size, else the export's.

    Raises:
      ValueError: neither is known, or they differ.
    """
    wanted, exported = FLAGS.image_size, encoder.image_size
    if wanted is None and exported is None:
        raise ValueError(
            f"--image_size is missing: the export {encoder.path} does not say for which size it "
            "was trained."
        )
    if wanted and exported and wanted != exported:
        raise ValueError(
            f"--image_size={wanted}: the export is for {exported} pixels and would resize again. "
            "Remove the flag."
        )
    return wanted or exported


def cache_dir() -> Optional[str]:
    """Folder of the feature cache, None for none."""
    return os.path.expanduser(FLAGS.cache_dir) if FLAGS.cache_dir else None


def results_path() -> str:
    """--results, else results.jsonl in the run's folder."""
    from msbreg_tf.evaluation.results.log import default_results_path

    return FLAGS.results or default_results_path(FLAGS.saved_model)


def append_results(values: dict[str, float], protocol: dict, encoder, details=None) -> str:
    """Appends one line for each {metric: value} to `results_path()`, which it returns."""
    from msbreg_tf.evaluation.results.log import append_result

    path = results_path()
    for metric, value in values.items():
        append_result(
            path,
            metric=metric,
            value=value,
            protocol=protocol,
            encoder=encoder,
            run=FLAGS.run_name,
            details=details,
        )
    return path


def split_features(encoder, split: str):
    """`feature_cache.split_features` of a split, with the other arguments from the flags."""
    from msbreg_tf.evaluation.features.cache import split_features as features

    return features(
        encoder,
        FLAGS.dataset,
        split,
        FLAGS.data_dir,
        image_size=image_size(encoder),
        cache_dir=cache_dir(),
        batch_size=FLAGS.batch_size,
    )


def train_and_test_features(encoder):
    """`split_features` of --train_split and of --test_split.

    Raises:
      ValueError: there is one class only, or a class that only the test split has.
    """
    train = split_features(encoder, FLAGS.train_split)
    classes = set(train.labels.tolist())
    if len(classes) < 2:
        raise ValueError(
            f"--train_split={FLAGS.train_split}: all its {len(train.labels)} images are of one "
            "class. Choose a split with at least two."
        )
    test = split_features(encoder, FLAGS.test_split)
    if unknown := sorted(set(test.labels.tolist()) - classes):
        raise ValueError(
            f"--test_split={FLAGS.test_split}: {len(unknown)} of its classes are not in "
            f"--train_split={FLAGS.train_split}, the first is label {unknown[0]}. Choose splits of "
            "the same classes."
        )
    return train, test


def protocol(name: str, encoder, train, test, **settings) -> dict[str, Any]:
    """What a protocol on frozen features is stamped with.

    Args:
      name: "knn", "linear", …
      encoder: the export.
      train: `Features` of --train_split.
      test: `Features` of --test_split.
      **settings: the protocol's own; nothing that differs from run to run.
    """
    return {
        "name": name,
        "network": "online encoder, frozen",
        "features": "pooled, before the projector",
        "augmentation": "none",
        "dataset": FLAGS.dataset,
        "image_size": image_size(encoder),
        "train_split": FLAGS.train_split,
        "train_fingerprint": train.split_fingerprint,
        "train_images": len(train.labels),
        "test_split": FLAGS.test_split,
        "test_fingerprint": test.split_fingerprint,
        "test_images": len(test.labels),
        **settings,
    }


_DEFINITIONS = {
    "saved_model": (
        flags.DEFINE_string,
        None,
        "SavedModel to evaluate: a run's export/<step>, or any whose serving_default takes image "
        "float32 [B, H, W, 3] in 0–255 and gives embedding float32 [B, F].",
    ),
    "dataset": (
        flags.DEFINE_string,
        "sample",
        "'sample' (shipped), 'folder' (--data_dir/<split>/<class>/*.jpg), 'imagenet100', or a TFDS "
        "data set with labels.",
    ),
    "train_split": (flags.DEFINE_string, "train", "Labelled split to learn from; TFDS notation."),
    "test_split": (flags.DEFINE_string, "test", "Labelled split to measure on; TFDS notation."),
    "data_dir": (
        flags.DEFINE_string,
        None,
        "TFDS directory (default: TFDS's own), or the folder of --dataset=folder.",
    ),
    "image_size": (
        flags.DEFINE_integer,
        None,
        "Side of the images in pixels (default: the export's). The shorter side is resized to it, "
        "then the centre is cut out.",
    ),
    "batch_size": (flags.DEFINE_integer, 256, "Images embedded at once."),
    "cache_dir": (
        flags.DEFINE_string,
        _DEFAULT_CACHE,
        "Folder where features are kept, by export and data; empty for none. It may be deleted.",
    ),
    "results": (
        flags.DEFINE_string,
        None,
        "File to append the result to (default: results.jsonl in the run's folder).",
    ),
    "run_name": (
        flags.DEFINE_string,
        None,
        "Name of the row in tables (default: <run>@<step>, from --saved_model).",
    ),
}
