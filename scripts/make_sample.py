r"""Draws the shipped sample from CIFAR-10: one PNG sprite sheet per class and split.

    python -m scripts.make_sample --tfds_dir=~/tensorflow_datasets \
        --output=msbreg_tf/data/sources/cifar10_sample

The same seed gives the same pixels from any lossless copy of CIFAR-10: images are drawn in the
order of a hash of their pixels, never in the order on disk. The data set's own train and test
splits stay apart: the sample's `test` holds only images of CIFAR-10's test split.
"""

import dataclasses
import hashlib
import pathlib
from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.commands import cli
from msbreg_tf.data.sources import sample
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class SampleSettings(Settings):
    """What is drawn, and where it goes."""

    tfds_dir: Optional[str] = setting(None, "TFDS directory (default: TFDS's own).")
    output: str = setting(str(sample.SHEETS), "Folder for <split>/<class>.png.")
    seed: int = setting(20091208, "Seed of the draw.", low=0)
    train_per_class: int = setting(500, "Images of each class in 'train'.", low=1)
    test_per_class: int = setting(100, "Images of each class in 'test'.", low=1)


def draw(images: np.ndarray, labels: np.ndarray, per_class: int, seed: int) -> list[np.ndarray]:
    """Picks `per_class` images of every class.

    Args:
      images: uint8 [n, H, W, 3].
      labels: int64 [n].
      per_class: how many of each class.
      seed: of the draw.

    Returns:
      For every class, in label order, uint8 [per_class, H, W, 3].
    """
    rng = np.random.default_rng(seed)
    hashes = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    picks = []
    for label in range(len(sample.CLASSES)):
        members = np.flatnonzero(labels == label)
        members = members[np.argsort(hashes[members], kind="stable")]
        picks.append(images[rng.choice(members, per_class, replace=False)])
    return picks


def _write_split(settings: SampleSettings, split: str, per_class: int) -> int:
    """Writes a sheet per class; returns their bytes."""
    columns = tfds.as_numpy(
        tfds.load("cifar10", split=split, data_dir=settings.tfds_dir, batch_size=-1)
    )
    picks = draw(columns["image"], columns["label"], per_class, settings.seed)
    folder = pathlib.Path(settings.output).expanduser() / split
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, tiles in zip(sample.CLASSES, picks):
        png = tf.io.encode_png(sample.tiles_to_sheet(tiles), compression=9).numpy()
        (folder / f"{name}.png").write_bytes(png)
        total += len(png)
    return total


def main(settings: SampleSettings) -> None:
    total = _write_split(settings, "train", settings.train_per_class)
    total += _write_split(settings, "test", settings.test_per_class)
    print(f"Wrote {settings.output}: {total / 2**20:.1f} MiB.")


if __name__ == "__main__":
    cli.run(cli.Command((SampleSettings,), main), __doc__)
