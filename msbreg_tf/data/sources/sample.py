"""The CIFAR-10 images shipped with the project: 10 classes, 5,000 'train' and 1,000 'test'.

One PNG sprite sheet per class and split; `cifar10_sample/README.md` tells where they come from.
"""

import hashlib
import pathlib
import re
from collections.abc import Mapping
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.settings import DataSettings
from msbreg_tf.data.sources.records import LabelledRecords, digest_of_pixels
from msbreg_tf.data.sources.source import MemorySource

SHEETS = pathlib.Path(__file__).parent / "cifar10_sample"
SPLITS = ("train", "test")
# In label order, which is that of CIFAR-10.
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
TILE = 32
_SPLIT = re.compile(r"(?P<name>\w+)(\[(?P<first>(\d+%?)?):(?P<end>(\d+%?)?)\])?")
_COLUMNS = 25


def tiles_to_sheet(tiles: np.ndarray) -> np.ndarray:
    """Lays images out row by row, 25 to a row.

    Args:
      tiles: uint8 [n, 32, 32, 3], n a multiple of 25 (or less than 25).

    Returns:
      uint8 [rows · 32, columns · 32, 3].
    """
    columns = min(_COLUMNS, len(tiles))
    if len(tiles) % columns:
        raise ValueError(f"expected a multiple of {_COLUMNS} tiles, received {len(tiles)}.")
    grid = tiles.reshape(-1, columns, TILE, TILE, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, columns * TILE, 3)


def sheet_to_tiles(sheet: np.ndarray) -> np.ndarray:
    """Inverse of `tiles_to_sheet`: uint8 [rows · 32, columns · 32, 3] → uint8 [n, 32, 32, 3]."""
    columns = sheet.shape[1] // TILE
    grid = sheet.reshape(-1, TILE, columns, TILE, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, TILE, TILE, 3)


def load_sample(split: str, flag: str = "split") -> tuple[np.ndarray, np.ndarray]:
    """Reads a split into memory.

    Args:
      split: 'train', 'test', or a part of one, such as 'train[:4000]' or 'train[80%:]'; several of
        them are joined by '+'.
      flag: how an error calls it.

    Returns:
      images, uint8 [n, 32, 32, 3], the classes taking turns so that any beginning is balanced; and
      labels, int64 [n].

    Raises:
      ValueError: an unknown split.
    """
    parts = [_load_split(part.strip(), flag) for part in split.split("+")]
    return tuple(np.concatenate(column) for column in zip(*parts))


def open_sample(settings: DataSettings) -> MemorySource:
    """Opens --dataset=sample.

    Raises:
      ValueError: an unknown split.
    """
    images, _ = load_sample(settings.split)
    return MemorySource(f"sample {settings.split}", images, _as_it_is, (TILE, TILE))


def labelled_sample(
    dataset: str,
    splits: Mapping[str, str],
    data_dir: Optional[str],
    limit: Optional[int],
    megapixels: float,
) -> list[LabelledRecords]:
    """Opens labelled splits; see `table.labelled_splits`."""
    return [_labelled(dataset, flag, split, limit) for flag, split in splits.items()]


def _labelled(dataset: str, flag: str, split: str, limit: Optional[int]) -> LabelledRecords:
    images, labels = (column[:limit] for column in load_sample(split, flag))
    with tf.device("CPU"):
        records = tf.data.Dataset.from_tensor_slices((images, labels))
    return LabelledRecords(
        name=f"{dataset} {split}",
        records=records,
        decode=_as_it_is,
        count=len(labels),
        classes=CLASSES,
        identity={"images": _digest(images), "labels": _digest(labels)},
        pixels=digest_of_pixels(records, _as_it_is),
    )


def _as_it_is(pixels: tf.Tensor) -> tf.Tensor:
    return pixels


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _load_split(split: str, flag: str) -> tuple[np.ndarray, np.ndarray]:
    found = _SPLIT.fullmatch(split)
    if found is None or found["name"] not in SPLITS:
        raise ValueError(
            f"--{flag}={split}: --dataset=sample has the splits {' and '.join(SPLITS)}. "
            "Use one of them, a part such as 'train[:4000]' or 'train[80%:]', or 'train+test'."
        )
    sheets = [SHEETS / found["name"] / f"{name}.png" for name in CLASSES]
    tiles = [
        sheet_to_tiles(tf.io.decode_png(sheet.read_bytes(), channels=3).numpy()) for sheet in sheets
    ]
    images = np.stack(tiles, axis=1).reshape(-1, TILE, TILE, 3)  # [per class · 10, 32, 32, 3]
    labels = np.arange(len(images), dtype=np.int64) % len(CLASSES)
    part = slice(*(_position(found[end], len(images)) for end in ("first", "end")))
    return images[part], labels[part]


def _position(text: Optional[str], count: int) -> Optional[int]:
    """'4000' → 4000 and '80%' → four fifths of `count`; None for nothing."""
    if not text:
        return None
    return round(int(text[:-1]) * count / 100) if text.endswith("%") else int(text)
