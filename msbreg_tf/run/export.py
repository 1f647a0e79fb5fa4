"""The export contract: a SavedModel for TF Serving and our tools, and a `.keras` for fine-tuning.

    export/<step>/saved_model.pb, variables/   two signatures, below; loads without this package
    export/<step>/encoder.keras                images [*, S, S, 3] in 0–255 → features [*, F]
    export/<step>/metadata.json                recipe, step, versions, preprocessing

    serving_default   image        float32 [B, H, W, 3] in 0–255  → embedding float32 [B, F]
    serve_bytes       image_bytes  string [B], JPEG or PNG         → embedding float32 [B, F]

A signature has one dtype: NumPy images and JSON numbers of any type are converted to float32, a
uint8 tensor is not. The loaded object's `embed` takes tensors of both types.
"""

import json
import os
import shutil
from typing import Any

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.data.images.resizing import fit_square
from msbreg_tf.files.whole import sync, sync_tree

PREPROCESSING = (
    "Images of another size are resized (antialiased bilinear) so that the shorter side is "
    "image_size, and cropped to the central square; pixels 0–255 are normalised inside the encoder."
)


class EncoderServer(tf.Module):
    """The encoder with its preprocessing, as saved."""

    def __init__(self, encoder: keras.Model, image_size: int):
        super().__init__()
        self.encoder = encoder
        self._image_size = image_size

    @tf.function
    def embed(self, image):
        """Embeds images, uint8 or float32 [B, H, W, 3] in 0–255 → float32 [B, F]."""
        image = fit_square(tf.cast(image, tf.float32), self._image_size)
        return tf.cast(self.encoder(image, training=False), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def serve(self, image):
        """The `serving_default` signature."""
        return {"embedding": self.embed(image)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve_bytes(self, image_bytes):
        """The `serve_bytes` signature."""
        side = self._image_size

        def decode(encoded):
            image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
            image.set_shape([None, None, 3])
            return fit_square(tf.cast(image, tf.float32)[None], side)[0]

        spec = tf.TensorSpec([side, side, 3], tf.float32)
        return {"embedding": self.embed(tf.map_fn(decode, image_bytes, fn_output_signature=spec))}


def export_encoder(
    encoder: keras.Model, folder: str, *, image_size: int, metadata: dict[str, Any]
) -> str:
    """Writes the export to `folder`, whole or not at all.

    Args:
      encoder: images [*, S, S, 3] in 0–255 → [*, F]; may live on several replicas.
      folder: `…/export/<step>`; replaced if it exists.
      image_size: S.
      metadata: recipe, step and versions, for `metadata.json`.

    Returns:
      `folder`.
    """
    single = _plain_float32(encoder)
    server = EncoderServer(single, image_size)
    for dtype in (tf.uint8, tf.float32):
        server.embed.get_concrete_function(tf.TensorSpec([None, None, None, 3], dtype, "image"))

    partial = os.path.join(os.path.dirname(folder), f".partial-{os.path.basename(folder)}")
    shutil.rmtree(partial, ignore_errors=True)
    facts = {
        "image_size": image_size,
        "feature_size": single.output_shape[-1],
        "preprocessing": PREPROCESSING,
    }
    try:
        signatures = {"serving_default": server.serve, "serve_bytes": server.serve_bytes}
        tf.saved_model.save(server, partial, signatures=signatures)
        single.save(os.path.join(partial, "encoder.keras"))
        with open(os.path.join(partial, "metadata.json"), "w") as file:
            json.dump(facts | metadata, file, indent=2)
        sync_tree(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
        sync(os.path.dirname(folder))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _plain_float32(encoder: keras.Model) -> keras.Model:
    """A copy for one device that computes in float32, whatever the run computed in."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.from_config(layer.get_config() | {"dtype": "float32"})

    copy = keras.models.clone_model(encoder, clone_function=plain)
    copy.set_weights(encoder.get_weights())
    return keras.Model(copy.inputs, copy.outputs[0], name="encoder")
