"""The two splits of a detection: found, read, and fit for each other."""

import dataclasses
import functools
import os
from collections.abc import Sequence

from msbreg_tf.evaluation.detection.coco import read_coco
from msbreg_tf.evaluation.detection.pictures import Picture, Split
from msbreg_tf.evaluation.detection.settings import TASKS, DetectionData
from msbreg_tf.evaluation.detection.voc import read_voc


@dataclasses.dataclass(frozen=True)
class Opened:
    """What is learnt from and what is measured on.

    Attributes:
      layout: "voc" or "coco", a key of `TASKS`.
      train_split: names of the splits to learn from.
      test_split: name of the split to measure on.
      train: all of the training split.
      test: the test split.
    """

    layout: str
    train_split: tuple[str, ...]
    test_split: str
    train: Split
    test: Split

    @functools.cached_property
    def lessons(self) -> tuple[Picture, ...]:
        """Training pictures that show an object to learn: crowds are none, "difficult" ones are."""
        return tuple(p for p in map(self._lesson, self.train.pictures) if len(p.labels))

    def _lesson(self, picture: Picture) -> Picture:
        if self.layout == "voc" or not picture.ignored.any():
            return picture
        kept = ~picture.ignored
        return dataclasses.replace(
            picture,
            boxes=picture.boxes[kept],
            labels=picture.labels[kept],
            ignored=picture.ignored[kept],
            masks=tuple(m for m, is_kept in zip(picture.masks, kept) if is_kept),
        )


def open_splits(given: DetectionData) -> Opened:
    """Reads both splits.

    Raises:
      ValueError: no such folder or split, a bad annotation (with file and line), no object to
        learn, or classes that differ between the splits.
    """
    if not given.data_dir:
        raise ValueError("--data_dir is missing: give a folder in VOC's or COCO's layout.")
    folder = os.path.expanduser(given.data_dir)
    if not os.path.isdir(folder):
        raise ValueError(f"--data_dir={given.data_dir}: no such folder. Correct the path.")
    layout = given.layout or _layout(given.data_dir, folder)
    task = TASKS[layout]
    is_year = layout == "voc" and os.path.isdir(os.path.join(folder, "ImageSets"))
    train_split = given.train_split or (("trainval",) if is_year else task.train_split)
    test_split = given.test_split or ("test" if is_year else task.test_split)

    def read(splits: Sequence[str], flag: str) -> Split:
        if layout == "voc":
            return read_voc(folder, splits, given.classes, flag)
        if given.classes:
            raise ValueError("--classes is for VOC's layout: COCO's files name their categories.")
        return read_coco(folder, tuple(splits), flag)

    train, test = read(train_split, "train_split"), read((test_split,), "test_split")
    if (train.names, train.category_ids) != (test.names, test.category_ids):
        raise ValueError(
            f"--test_split={test_split}: its categories are not those of --train_split="
            f"{','.join(train_split)}. Give both files the same."
        )
    opened = Opened(layout, tuple(train_split), test_split, train, test)
    if not opened.lessons:
        raise ValueError(
            f"--train_split={','.join(train_split)}: none of its {len(train.pictures)} images "
            "shows an object. Give another split."
        )
    return opened


def _layout(shown: str, folder: str) -> str:
    if os.path.isdir(os.path.join(folder, "annotations")):
        return "coco"
    years = [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]
    if any(os.path.isdir(os.path.join(year, "ImageSets", "Main")) for year in years):
        return "voc"
    raise ValueError(
        f"--data_dir={shown}: it has neither annotations/, as in COCO's layout, nor "
        "VOC2007/ImageSets/Main, as in VOC's. Correct the path."
    )
