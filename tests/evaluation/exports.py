"""Tiny SavedModels that keep the export contract, made without any of our training code."""

import json
import pathlib
from collections.abc import Sequence
from typing import Optional

import tensorflow as tf

FEATURES = 5


class _TinyEncoder(tf.Module):
    """Averages the image over a 3×3 grid, then applies a fixed random matrix."""

    def __init__(self, seed: int):
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal([27, FEATURES], [seed, 0]))

    @tf.function
    def embed(self, image):
        small = tf.image.resize(tf.cast(image, tf.float32) / 128 - 1, [3, 3], antialias=True)
        return tf.reshape(small, [-1, 27]) @ self.kernel


def save_tiny(
    folder: pathlib.Path,
    *,
    seed: int = 0,
    metadata: Optional[dict] = None,
    shape: Sequence[Optional[int]] = (None, None, None, 3),
    dtype: tf.DType = tf.float32,
    names: tuple[str, str] = ("image", "embedding"),
    signature: str = "serving_default",
) -> str:
    """Saves an encoder with F = 5 to `folder`.

    Args:
      folder: of the SavedModel.
      seed: of the weights.
      metadata: content of metadata.json; None: a foreign export, without that file.
      shape: of the images in the signature.
      dtype: of the images in the signature.
      names: of the signature's input and output.
      signature: its name.

    Returns:
      `folder` as a string.
    """
    module = _TinyEncoder(seed)
    spec = tf.TensorSpec(shape, dtype, names[0])
    serve = tf.function(lambda image: {names[1]: module.embed(image)}, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={signature: serve})
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata))
    return str(folder)
