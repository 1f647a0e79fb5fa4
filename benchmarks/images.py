"""The images that all contenders work on: shipped CIFAR-10 images, enlarged, in one .npy file."""

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
