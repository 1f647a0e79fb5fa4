"""What a protocol is: settings, a measurement of an export, and what it found.

Nothing here imports TensorFlow before it is needed.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from msbreg_tf.settings import Settings

if TYPE_CHECKING:
    from msbreg_tf.data.sources.records import LabelledRecords
    from msbreg_tf.evaluation.features.cache import Features
    from msbreg_tf.evaluation.features.exported import ExportedEncoder


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured, and on which images.

    Attributes:
      encoder: the export.
      image_size: side S in pixels that images are brought to.
      given: {name: value} of the shared settings that the protocol takes; see `settings.py`.
    """

    encoder: "ExportedEncoder"
    image_size: int
    given: Mapping[str, Any]

    @property
    def cache_dir(self) -> Optional[str]:
        """Folder of what is kept between evaluations; None for none."""
        return os.path.expanduser(self.given["cache_dir"]) if self.given["cache_dir"] else None

    def cache_folder(self, name: str) -> Optional[str]:
        """A folder in `cache_dir`, which need not exist yet; None without a cache."""
        return os.path.join(self.cache_dir, name) if self.cache_dir else None

    def labelled_splits(self) -> list["LabelledRecords"]:
        """The training and the test split, not decoded."""
        from msbreg_tf.data.sources.table import labelled_splits

        given = self.given
        return labelled_splits(
            given["dataset"],
            {flag: given[flag] for flag in ("train_split", "test_split")},
            given["data_dir"],
            megapixels=given["max_megapixels"],
        )

    def train_and_test_features(self) -> tuple["Features", "Features"]:
        """The features and labels of both splits, from the cache if they are there.

        Raises:
          ValueError: there is one class only, or a class that only the test split has.
        """
        from msbreg_tf.evaluation.features.cache import split_features
        from msbreg_tf.evaluation.labels import check_classes

        names = [f"--{flag}={self.given[flag]}" for flag in ("train_split", "test_split")]
        found = []
        for data in self.labelled_splits():
            found.append(
                split_features(
                    self.encoder,
                    data,
                    image_size=self.image_size,
                    cache_dir=self.cache_dir,
                    batch_size=self.given["batch_size"],
                )
            )
            check_classes(*(features.labels for features in found), names=names)
        return tuple(found)

    @property
    def results_path(self) -> str:
        """The file that results are appended to."""
        from msbreg_tf.evaluation.results.log import default_results_path

        return self.given["results"] or default_results_path(self.given["saved_model"])

    def record(self, measurement: "Measurement") -> None:
        """Appends a line for each value.

        Raises:
          RunFailedError: the file can't be written.
        """
        from msbreg_tf.evaluation.results.log import append_result

        for metric, value in measurement.values.items():
            append_result(
                self.results_path,
                metric=metric,
                value=value,
                protocol=measurement.protocol,
                encoder=self.encoder,
                run=self.given["run_name"],
                details=measurement.details,
            )

    def images_stamp(self, train: tuple[str, int], test: tuple[str, int]) -> dict[str, Any]:
        """Which images were used, for the stamp of a protocol that has both splits.

        Args:
          train: fingerprint and number of the training images.
          test: likewise of the test images.
        """
        return {
            "dataset": self.given["dataset"],
            "image_size": self.image_size,
            "train_split": self.given["train_split"],
            "train_fingerprint": train[0],
            "train_images": train[1],
            "test_split": self.given["test_split"],
            "test_fingerprint": test[0],
            "test_images": test[1],
        }

    def frozen_stamp(self, name: str, train: "Features", test: "Features") -> dict[str, Any]:
        """The beginning of the stamp of a protocol on frozen features."""
        return {
            "name": name,
            "network": "online encoder, frozen",
            "features": "pooled, before the projector",
            "augmentation": "none",
            **self.images_stamp(
                (train.split_fingerprint, len(train.labels)),
                (test.split_fingerprint, len(test.labels)),
            ),
        }


def accuracies(top1: float, top5: Optional[float]) -> dict[str, float]:
    """Fractions as metrics in %; top-5 is left out where there is none."""
    metrics = {"top-1 %": top1, "top-5 %": top5}
    return {name: 100 * value for name, value in metrics.items() if value is not None}


class Measurement(NamedTuple):
    """Values that one protocol gave.

    Attributes:
      values: {metric, with its unit: value}.
      protocol: the stamp: all that decides how they were measured, as plain JSON values.
      details: what else was found, as plain JSON values.
    """

    values: Mapping[str, float]
    protocol: Mapping[str, Any]
    details: Optional[Mapping[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What a measurement found.

    Attributes:
      text: what a person is shown.
      measurements: what is to be recorded.
      on_recorded: called once they are.
    """

    text: str
    measurements: Sequence[Measurement]
    on_recorded: Callable[[], None] = lambda: None


class Protocol(NamedTuple):
    """A row of `PROTOCOLS`.

    Attributes:
      settings: the protocol's own.
      shared: the groups of `evaluation/settings.py` that it takes.
      measure: (own settings, subject) → what was found.
      defaults: {flag: value} where the default of a shared setting differs.
      check: refuses the protocol's own settings where they can't work on this machine, before
        TensorFlow is imported.
    """

    settings: type[Settings]
    shared: tuple[type[Settings], ...]
    measure: Callable[[Any, Subject], Report]
    defaults: Mapping[str, Any] = {}
    check: Callable[[Any], object] = lambda settings: None
