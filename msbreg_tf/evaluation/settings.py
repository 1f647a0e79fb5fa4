"""Settings that several evaluation tools share, in groups of which a tool takes what it needs.

Nothing here imports TensorFlow.
"""

import dataclasses
from typing import Optional

from msbreg_tf.data.settings import megapixels_setting
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class ExportSettings(Settings):
    """The export."""

    saved_model: Optional[str] = setting(
        None,
        "SavedModel to evaluate: a run's export/<step>, or any whose serving_default takes image "
        "float32 [B, H, W, 3] in 0–255 and gives embedding float32 [B, F].",
    )
    image_size: Optional[int] = setting(
        None,
        "Side of the images (default: the export's). The shorter side is resized to it, then the "
        "centre is cut out.",
        unit="pixels",
        low=1,
    )


@dataclasses.dataclass(frozen=True)
class TestSettings(Settings):
    """The images to measure on."""

    __test__ = False  # for pytest

    dataset: str = setting(
        "sample",
        "'sample' (shipped), 'folder' (--data_dir/<split>/<class>/*.jpg), 'imagenet100', or a TFDS "
        "data set with labels.",
    )
    test_split: str = setting("test", "Split to measure on; TFDS notation.")
    data_dir: Optional[str] = setting(
        None,
        "TFDS directory (default: TFDS's own), or the folder of --dataset=folder.",
        changes_result=False,
    )
    max_megapixels: float = megapixels_setting()


@dataclasses.dataclass(frozen=True)
class TrainSettings(Settings):
    """The images to learn from, in the same data set."""

    train_split: str = setting("train", "Labelled split to learn from; TFDS notation.")


@dataclasses.dataclass(frozen=True)
class BatchSettings(Settings):
    """The embedding of the images."""

    batch_size: int = setting(256, "Images embedded at once.", low=1, changes_result=False)


@dataclasses.dataclass(frozen=True)
class CacheSettings(Settings):
    """What is kept from one evaluation to the next."""

    cache_dir: str = setting(
        "~/.cache/msbreg_tf/features",
        "Folder where features are kept, by export and data; empty for none. It may be deleted.",
        changes_result=False,
    )


@dataclasses.dataclass(frozen=True)
class RecordSettings(Settings):
    """The record of the result."""

    results: Optional[str] = setting(
        None,
        "File to append the result to (default: results.jsonl in the run's folder).",
        changes_result=False,
    )
    run_name: Optional[str] = setting(
        None,
        "Name of the row in tables (default: <run>@<step>, from --saved_model).",
        changes_result=False,
    )


# What a protocol on cached features of two labelled splits takes.
FROZEN_FEATURES = (
    ExportSettings,
    TestSettings,
    TrainSettings,
    BatchSettings,
    CacheSettings,
    RecordSettings,
)
