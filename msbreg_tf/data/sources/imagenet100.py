"""ImageNet-100: the 100 classes of ImageNet that CMC drew (Tian et al. 2020).

Trap: three label orders exist. Ours is the position in the *sorted* list of the 100 names, which is
also what torchvision's `ImageFolder` gives. It is neither the order of CMC's file (`CMC_ORDER`) nor
the label of TFDS's imagenet2012, which is the position among all 1,000 sorted names.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Optional

import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.data.settings import MIB, DataSettings
from msbreg_tf.data.sources.folder import FolderSource
from msbreg_tf.data.sources.image_files import find_images
from msbreg_tf.data.sources.records import LabelledRecords, records_of_files
from msbreg_tf.data.sources.source import Source
from msbreg_tf.data.sources.tfds import (
    count_and_hold,
    labelled_pairs,
    name_of_split,
    source_of_records,
)
from msbreg_tf.data.sources.tfds_builder import encoded_examples, open_builder
from msbreg_tf.data.sources.tfrecords import find_records
from msbreg_tf.errors import note

_WHOLE = "imagenet2012"

# https://github.com/HobbitLong/CMC/blob/master/imagenet100.txt, in the order of that file.
CMC_ORDER = tuple(
    """
    n02869837 n01749939 n02488291 n02107142 n13037406 n02091831 n04517823 n04589890 n03062245
    n01773797 n01735189 n07831146 n07753275 n03085013 n04485082 n02105505 n01983481 n02788148
    n03530642 n04435653 n02086910 n02859443 n13040303 n03594734 n02085620 n02099849 n01558993
    n04493381 n02109047 n04111531 n02877765 n04429376 n02009229 n01978455 n02106550 n01820546
    n01692333 n07714571 n02974003 n02114855 n03785016 n03764736 n03775546 n02087046 n07836838
    n04099969 n04592741 n03891251 n02701002 n03379051 n02259212 n07715103 n03947888 n04026417
    n02326432 n03637318 n01980166 n02113799 n02086240 n03903868 n02483362 n04127249 n02089973
    n03017168 n02093428 n02804414 n02396427 n04418357 n02172182 n01729322 n02113978 n03787032
    n02089867 n02119022 n03777754 n04238763 n02231487 n03032252 n02138441 n02104029 n03837869
    n03494278 n04136333 n03794056 n03492542 n02018207 n04067472 n03930630 n03584829 n02123045
    n04229816 n02100583 n03642806 n04336792 n03259280 n02116738 n02108089 n03424325 n01855672
    n02090622
    """.split()  # noqa: SIM905 (100 quoted names read worse)
)
WNIDS = tuple(sorted(CMC_ORDER))


def label_table(names: Sequence[str]) -> tf.Tensor:
    """Maps imagenet2012's labels to ours.

    Args:
      names: the wnid of each of TFDS's labels, in its order.

    Returns:
      int64 [len(names)]: our label, or −1 for a class that is not among the 100.
    """
    ours = {wnid: label for label, wnid in enumerate(WNIDS)}
    return tf.constant([ours.get(name, -1) for name in names], tf.int64)


def split_folder(data_dir: Optional[str], split: str) -> Optional[pathlib.Path]:
    """The folder of wnid folders for `split`: data_dir/split, or data_dir itself for 'train'.

    Returns:
      None if there is none: then `data_dir` is a TFDS directory.
    """
    if not data_dir:
        return None
    root = pathlib.Path(data_dir).expanduser()
    names = ("val", "validation") if split in ("val", "validation") else (split,)
    candidates = [root / name for name in names] + ([root] if split == "train" else [])
    for folder in candidates:
        if any((folder / wnid).is_dir() for wnid in WNIDS):
            return folder
    return None


def labelled_paths(folder: pathlib.Path) -> tuple[list[str], list[int]]:
    """All images of the 100 classes, sorted by class, and their labels.

    Raises:
      ValueError: a class has no image.
    """
    paths, labels = [], []
    for label, wnid in enumerate(WNIDS):
        members = find_images(folder / wnid)
        if not members:
            raise ValueError(
                f"--data_dir: {folder} has no image of class {wnid}. --dataset=imagenet100 needs "
                "all 100 wnid folders, or a TFDS directory with imagenet2012."
            )
        paths += members
        labels += [label] * len(members)
    return paths, labels


def open_imagenet100(settings: DataSettings) -> Source:
    """Opens --dataset=imagenet100: wnid folders if there are any, else imagenet2012 of TFDS.

    Raises:
      ValueError: there is neither, or a class has no image.
    """
    if folder := split_folder(settings.data_dir, settings.split):
        paths, _ = labelled_paths(folder)
        name = f"imagenet100 folders {settings.split}"
        return FolderSource(name, folder, paths, settings.max_megapixels)
    try:
        builder = open_builder(_WHOLE, settings.data_dir)
        records = _pairs(builder, settings.split).map(lambda image, _: image)
        name = f"imagenet100 of {name_of_split(builder, settings.split)}"
        note(f"reading all of {name} once, to count the images of the 100 classes.")
        count, held = count_and_hold(records, settings.cache_mb * MIB)
        files = find_records(builder, settings.split) if held is None else None
        if files is not None:
            table = label_table(builder.info.features["label"].names)
            files = files.having_label(lambda label: (label >= 0) & (_ours(table, label) >= 0))
        return source_of_records(name, records, count, held, files, builder, settings)
    except ValueError as error:
        raise ValueError(
            f"--dataset=imagenet100: --data_dir={settings.data_dir} has no folders "
            f"{settings.split}/<wnid>, and TFDS can't help: {error}"
        ) from error


def labelled_imagenet100(
    dataset: str,
    splits: Mapping[str, str],
    data_dir: Optional[str],
    limit: Optional[int],
    megapixels: float,
) -> list[LabelledRecords]:
    """Opens labelled splits; see `table.labelled_splits`."""
    return [
        _labelled(dataset, flag, split, data_dir, limit, megapixels)
        for flag, split in splits.items()
    ]


def _labelled(
    dataset: str,
    flag: str,
    split: str,
    data_dir: Optional[str],
    limit: Optional[int],
    megapixels: float,
) -> LabelledRecords:
    name = f"{dataset} {split}"
    if folder := split_folder(data_dir, split):
        paths, labels = labelled_paths(folder)
        return records_of_files(name, folder, paths, labels, WNIDS, limit, megapixels)
    builder = open_builder(_WHOLE, data_dir)
    pairs = _pairs(builder, split, flag)
    return labelled_pairs(name, pairs, builder, WNIDS, limit, megapixels)


def _pairs(builder: tfds.core.DatasetBuilder, split: str, flag: str = "split") -> tf.data.Dataset:
    """(encoded image, our label) of the images of the 100 classes."""
    table = label_table(builder.info.features["label"].names)
    examples = encoded_examples(builder, split, with_labels=True, flag=flag)
    pairs = examples.map(lambda example: (example["image"], _ours(table, example["label"])))
    return pairs.filter(lambda _, label: label >= 0)


def _ours(table: tf.Tensor, theirs: tf.Tensor) -> tf.Tensor:
    """Our label of imagenet2012's; −1 of an image without a label or of another class."""
    return tf.where(theirs < 0, theirs, tf.gather(table, tf.maximum(theirs, 0)))
