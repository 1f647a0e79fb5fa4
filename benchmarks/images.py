"""Images that all contenders work on: those of the shipped sample, enlarged; as pixels or JPEG."""

import os

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
from PIL import Image  # isort: skip

from msbreg_tf.data.sources.sample import load_sample  # isort: skip


def write_images(path: str, count: int, height: int, width: int) -> None:
    """Writes uint8 [count, height, width, 3] to the file `path`."""
    tiles, _ = load_sample("train")
    enlarged = [
        np.asarray(Image.fromarray(tile).resize((width, height), Image.BICUBIC))
        for tile in tiles[:count]
    ]
    np.save(path, np.stack(enlarged))


def write_photographs(folder: str, count: int, height: int, width: int) -> None:
    """Writes JPEG files of quality 90, with the noise that a camera adds."""
    os.makedirs(folder)
    tiles, _ = load_sample("train")
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, [height, width, 3]).round().astype(np.int16)
    for number, tile in enumerate(tiles[:count]):
        enlarged = Image.fromarray(tile).resize((width, height), Image.BICUBIC)
        noisy = (np.int16(enlarged) + np.roll(noise, 97 * number, axis=(0, 1))).clip(0, 255)
        path = os.path.join(folder, f"{number:03}.jpg")
        Image.fromarray(noisy.astype(np.uint8)).save(path, quality=90)
