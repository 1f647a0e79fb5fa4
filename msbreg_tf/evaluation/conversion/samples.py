"""Real images, to verify a converted file on, and to fit one of 8 bits to."""

import os
import pathlib
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.decoding import read_and_decode
from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.sources.image_files import find_images, no_images
from msbreg_tf.data.sources.sample import load_sample, tiles_to_sheet

CALIBRATION = 100  # images
_WHOLE = 4  # images of a folder that are also given as they are
_LARGEST = 1200  # pixels of their sides, so that an image takes 17 MB as float32
_PARTS = ((203, 261), (40, 150))  # of many shipped images side by side: odd, flat, not the export's
_SMALL = 250  # shipped images that are laid side by side: 320 × 800 pixels


class Samples(NamedTuple):
    """Real images.

    Attributes:
      name: where they are from.
      squares: uint8 [n, S, S, 3], to verify on.
      others: each float32 [1, H, W, 3] of another size, to verify on.
      calibration: uint8 [m, S, S, 3], others than `squares` where there are enough.
    """

    name: str
    squares: np.ndarray
    others: list[np.ndarray]
    calibration: np.ndarray


def load_samples(data_dir: Optional[str], count: int, size: int) -> Samples:
    """Loads `count` images to verify on and 100 to calibrate on.

    Args:
      data_dir: a folder of images, nested as you like; None: the images shipped with the project.
      count: n, at most.
      size: side S of the squares.

    Raises:
      ValueError: no image in the folder that can be read.
    """
    if data_dir is None:
        return _shipped(count, size)
    folder = os.path.expanduser(data_dir)
    paths = find_images(pathlib.Path(folder))
    images = []
    for place in np.random.default_rng(0).permutation(len(paths)):
        try:
            images.append(read_and_decode(tf.constant(os.fsencode(paths[place]))))
        except tf.errors.OpError:  # broken; there are others
            continue
        if len(images) == count + CALIBRATION:
            break
    if not images:
        raise no_images(data_dir, "Give a folder of images, or none for the shipped ones.")
    squares = np.stack([resize_and_crop(image, size) for image in images])
    whole = [image[:_LARGEST, :_LARGEST].numpy()[None].astype(np.float32) for image in images]
    others = squares[count:] if len(squares) > count else squares
    return Samples(data_dir, squares[:count], whole[: min(_WHOLE, count)], others)


def _shipped(count: int, size: int) -> Samples:
    test, train = (load_sample(split)[0] for split in ("test", "train"))
    sheet = tiles_to_sheet(test[:_SMALL])[None].astype(np.float32)
    parts = [sheet[:, :height, :width] for height, width in _PARTS]
    squares = brought_to(test[:count], size)
    return Samples("the shipped sample", squares, parts, brought_to(train[:CALIBRATION], size))


def brought_to(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 [n, H, W, 3] → uint8 [n, S, S, 3]."""
    return np.stack([resize_and_crop(tf.constant(image), size) for image in images])
