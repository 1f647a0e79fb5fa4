"""Whether images can be read and augmented, and how fast."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.run.config import Config
from msbreg_tf.run.doctor.finding import ATTENTION, OK, Finding, Subject

_SECONDS = 0.5  # of counting
_BATCH = 64  # images
_BUFFERED = 4  # batches that may be ready when the counting begins
_HERE = ("sample", "folder")


def views(subject: Subject) -> Finding:
    """Reads images of the shipped sample, makes the recipe's views of them, counts."""
    from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
    from msbreg_tf.data.sources.table import open_source
    from msbreg_tf.run.build import build_augmentation

    config = with_sample(subject.config)
    augment = build_augmentation(config)
    plan = ViewPlan(
        open_source(config.data),
        augment,
        seed=config.run.seed,
        batch_size=_BATCH,
        num_views=config.objective.num_views,
        reduction=augment.reduction,
    )
    batches = iter(view_batches(plan))
    rate = count_rate(batches) * _BATCH * config.objective.num_views
    side = config.view_size
    found = f"Images can be read and augmented here: {rate:,.0f} views of {side} px per second"
    return Finding("images", OK, f"{found}, made of the shipped sample's images of 32 px.")


def count_rate(batches: Iterator[Any], clock: Callable[[], float] = time.monotonic) -> float:
    """Batches per second, once those that were ready before are used up."""
    for _ in range(_BUFFERED):
        next(batches)
    started, count = clock(), 0
    while (passed := clock() - started) < _SECONDS:
        next(batches)
        count += 1
    return count / passed


def prepared(subject: Subject) -> Finding:
    """Whether the recipe's own images are on this machine."""
    data = subject.config.data
    if is_prepared(data):
        return Finding("data set", OK, f"The images of --dataset={data.dataset} are here.")
    return Finding(
        "data set",
        ATTENTION,
        f"--dataset={data.dataset} is not prepared in {os.path.dirname(_folder(data))}; steps are "
        "measured on the shipped sample in its place.",
        "Training prepares it when it starts, which may be a long download.",
    )


def is_prepared(data: DataSettings) -> bool:
    """Whether the images are here; of a TFDS data set, whether it has a folder."""
    return data.dataset in _HERE or os.path.isdir(_folder(data))


def _folder(data: DataSettings) -> str:
    """Where TFDS has a data set, whatever its config and version."""
    root = data.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    name = "imagenet2012" if data.dataset == "imagenet100" else data.dataset
    return os.path.join(os.path.expanduser(root), name.partition("/")[0].partition(":")[0])


def with_sample(config: Config) -> Config:
    """The recipe with the shipped sample as its images."""
    return replaced(config, dataset="sample", split="train", data_dir=None, data_service=None)


def replaced(config: Config, **values: Any) -> Config:
    """The recipe with other values."""
    from msbreg_tf.run.config import config_from_settings

    return config_from_settings({**config.settings(), **values})
