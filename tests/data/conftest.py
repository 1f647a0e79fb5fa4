"""Small sources with known pixels, and a test double for the augmentation."""

import numpy as np
import pytest
import tensorflow as tf

from msbreg_tf.data.sources.sample import load_sample
from msbreg_tf.data.sources.source import MemorySource
from msbreg_tf.data.sources.tfds import StreamSource

SIZE = 8


def crop_by_draws(inputs):
    """A window of 8×8 at a place that the first two draws of each view decide."""
    images, draws = inputs["images"], inputs["draws"]
    room = tf.cast(tf.shape(images)[1:3] - SIZE + 1, tf.float32)
    corners = tf.cast(draws[..., :2] * room, tf.int32)  # [B, K, 2]

    def views_of(item):
        image, places = item
        return tf.map_fn(
            lambda place: tf.slice(image, [place[0], place[1], 0], [SIZE, SIZE, 3]),
            places,
            fn_output_signature=tf.TensorSpec([SIZE, SIZE, 3], tf.uint8),
        )

    signature = tf.TensorSpec([draws.shape[1], SIZE, SIZE, 3], tf.uint8)
    return {"images": tf.map_fn(views_of, (images, corners), fn_output_signature=signature)}


def number_only(inputs):
    """Views that show nothing but the top left pixel: the image's own number, see `numbered`."""
    corner = inputs["images"][:, tf.newaxis, :1, :1]  # [B, 1, 1, 1, 3]
    return {"images": tf.repeat(corner, inputs["draws"].shape[1], axis=1)}


def numbered(count: int) -> np.ndarray:
    """uint8 [count, 12, 12, 3] noise whose first pixel is (number % 256, number // 256, 0)."""
    images = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), np.uint8)
    numbers = np.arange(count)
    images[:, 0, 0] = np.stack([numbers % 256, numbers // 256, 0 * numbers], axis=-1)
    return images


def numbers_of(batches) -> list:
    """The images' numbers, from the batches of views that `number_only` made."""
    pixels = np.concatenate([b[:, 0, 0, 0].astype(int) for b in batches])
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def memory_source(count: int) -> MemorySource:
    return MemorySource("numbers", numbered(count), lambda pixels: pixels, (12, 12))


def stream_source(count: int, buffer: int = 5) -> StreamSource:
    pngs = [tf.io.encode_png(image).numpy() for image in numbered(count)]
    records = tf.data.Dataset.from_tensor_slices(pngs)
    return StreamSource("stream", records, count, buffer, (12, 12))


@pytest.fixture(scope="session")
def photographs() -> np.ndarray:
    """uint8 [12, 32, 32, 3], real ones."""
    return load_sample("test")[0][:12]


@pytest.fixture(scope="session")
def jpegs(photographs) -> list:
    return [tf.io.encode_jpeg(image, quality=95).numpy() for image in photographs]
