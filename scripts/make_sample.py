r"""Draws the shipped sample from CIFAR-10: one PNG sprite sheet per class and split.

    python -m scripts.make_sample --tfds_dir=~/tensorflow_datasets \
        --output=msbreg_tf/data/cifar10_sample

The same seed gives the same pixels from any lossless copy of CIFAR-10: images are drawn in the
order of a hash of their pixels, never in the order on disk. The data set's own train and test
splits stay apart: the sample's `test` holds only images of CIFAR-10's test split.
"""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app, flags

from msbreg_tf.data.sources import sample

_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "TFDS directory (default: TFDS's own).")
_OUTPUT = flags.DEFINE_string("output", str(sample.SHEETS), "Folder for <split>/<class>.png.")
_SEED = flags.DEFINE_integer("seed", 20091208, "Seed of the draw.")
_TRAIN = flags.DEFINE_integer("train_per_class", 500, "Images of each class in 'train'.", 1)
_TEST = flags.DEFINE_integer("test_per_class", 100, "Images of each class in 'test'.", 1)


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


def _write_split(split: str, per_class: int, output: pathlib.Path) -> int:
    columns = tfds.as_numpy(
        tfds.load("cifar10", split=split, data_dir=_TFDS_DIR.value, batch_size=-1)
    )
    picks = draw(columns["image"], columns["label"], per_class, _SEED.value)
    (output / split).mkdir(parents=True, exist_ok=True)
    total = 0
    for name, tiles in zip(sample.CLASSES, picks):
        png = tf.io.encode_png(sample.tiles_to_sheet(tiles), compression=9).numpy()
        (output / split / f"{name}.png").write_bytes(png)
        total += len(png)
    return total


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    output = pathlib.Path(_OUTPUT.value).expanduser()
    total = _write_split("train", _TRAIN.value, output)
    total += _write_split("test", _TEST.value, output)
    print(f"Wrote {output}: {total / 2**20:.1f} MiB.")


if __name__ == "__main__":
    app.run(main)
