"""Which source of images a `--dataset` names."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Optional

from msbreg_tf.data.settings import MEGAPIXELS, DataSettings
from msbreg_tf.data.sources import folder, imagenet100, sample, tfds
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.data.sources.source import Source

Place = tuple[str, Optional[str]]  # split and data_dir


class SourceKind(NamedTuple):
    """A row of `SOURCES`.

    Attributes:
      open: settings → the images to train on, without labels.
      labelled: (dataset, splits, data_dir, limit, megapixels) → labelled splits; see
        `labelled_splits`.
      place: (split, data_dir) → the split and data_dir under which `open` finds that split.
    """

    open: Callable[[DataSettings], Source]
    labelled: Callable[
        [str, Mapping[str, str], Optional[str], Optional[int], float], list[LabelledRecords]
    ]
    place: Callable[[str, Optional[str]], Place] = lambda split, data_dir: (split, data_dir)


SOURCES = {
    "sample": SourceKind(sample.open_sample, sample.labelled_sample),
    "folder": SourceKind(folder.open_folder, folder.labelled_folder, folder.place_of_split),
    "imagenet100": SourceKind(imagenet100.open_imagenet100, imagenet100.labelled_imagenet100),
}
_ANY_OTHER_NAME = SourceKind(tfds.open_tfds, tfds.labelled_tfds)


def open_source(settings: DataSettings) -> Source:
    """Opens the images that `settings` name.

    Raises:
      ValueError: there are no such images; the message names flag, value and remedy.
    """
    return _kind(settings.dataset).open(settings)


def labelled_splits(
    dataset: str,
    splits: Mapping[str, str],
    data_dir: Optional[str],
    limit: Optional[int] = None,
    megapixels: float = MEGAPIXELS,
) -> list[LabelledRecords]:
    """Opens labelled splits that belong together, not decoded.

    Args:
      dataset: as --dataset. With 'folder', each split is a subfolder of data_dir, with a folder for
        each class; a label is the place of the class among the sorted names of the classes that
        these splits have.
      splits: {flag that messages name: split, in the notation of --split}.
      data_dir: as --data_dir.
      limit: of each split at most this many: the first, or evenly spaced ones of folders.
      megapixels: an image file that promises more pixels counts as broken.

    Returns:
      The splits, in the order of `splits`.

    Raises:
      ValueError: no such split, or no labels.
    """
    return _kind(dataset).labelled(dataset, splits, data_dir, limit, megapixels)


def place_of_split(dataset: str, split: str, data_dir: Optional[str]) -> Place:
    """Split and data_dir under which `open_source` finds a split without needing its labels."""
    return _kind(dataset).place(split, data_dir)


def _kind(dataset: str) -> SourceKind:
    return SOURCES.get(dataset, _ANY_OTHER_NAME)
