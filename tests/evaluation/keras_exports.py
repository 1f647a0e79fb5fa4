"""Tiny exports that can be fine-tuned: a Keras encoder and its SavedModel, no training code."""

import json
import pathlib
from typing import Optional

import tensorflow as tf
from tensorflow import keras

SIZE = 32
FEATURES = 6


def tiny_encoder(seed: int = 0, convolution: Optional[keras.layers.Layer] = None) -> keras.Model:
    """Strided convolution, batch norm, ReLU, pooling: [*, S, S, 3] in 0–255 → [*, 6]."""
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential(
        [
            keras.Input([None, None, 3]),
            keras.layers.Rescaling(1 / 64, -2),
            convolution or keras.layers.Conv2D(FEATURES, 5, strides=3),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    encoder(tf.random.stateless_uniform([64, SIZE, SIZE, 3], [seed, 1], 0, 255), training=True)
    return encoder


def save_keras_tiny(folder: pathlib.Path, convolution: Optional[keras.layers.Layer] = None) -> str:
    """Saves `tiny_encoder` as an export to `folder`, and returns its path."""
    encoder = tiny_encoder(convolution=convolution)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def serve(image):
        return {"embedding": encoder(image, training=False)}

    tf.saved_model.save(encoder, str(folder), signatures={"serving_default": serve})
    encoder.save(folder / "encoder.keras")
    (folder / "metadata.json").write_text(json.dumps({"image_size": SIZE}))
    return str(folder)
