"""The Keras model beside a SavedModel: to be trained on, or with fresh weights to compare with."""

import os
import zipfile

import numpy as np
from tensorflow import keras

from msbreg_tf.errors import one_line
from msbreg_tf.evaluation.features.exported import ExportedEncoder

NAME = "encoder.keras"


def load_keras_encoder(export: ExportedEncoder, image_size: int) -> keras.Model:
    """The trainable twin of an export: its encoder.keras.

    Args:
      export: the loaded SavedModel beside it.
      image_size: side S of the images it will see.

    Raises:
      ValueError: no encoder.keras, one that can't be read, or one that computes other features.
    """
    path = os.path.join(export.path, NAME)
    if not os.path.exists(path):
        raise ValueError(
            f"--saved_model={export.path}: no encoder.keras in it, and a SavedModel can't be "
            "trained on. Save the encoder there with Keras."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json")
        if b"msbreg_tf." in config:  # layers of our own, known to Keras once they are imported
            import msbreg_tf.networks.standardized  # noqa: F401
        encoder = keras.models.load_model(path, compile=False)
    except Exception as error:  # a cut-off archive, a layer that nobody knows
        raise ValueError(f"{path}: can't be read ({one_line(error)}). Export it again.") from error
    probe = np.random.default_rng(0).integers(0, 256, [4, image_size, image_size, 3])
    expected = export.embed(probe.astype(np.uint8))
    features = np.asarray(encoder(probe.astype(np.float32), training=False))
    tolerance = 1e-3 * np.abs(expected).max() + 1e-6
    if features.shape != expected.shape or not np.allclose(features, expected, 0, tolerance):
        raise ValueError(
            f"{path}: it computes other features than the SavedModel beside it. Export both again."
        )
    return encoder


def untrained_twin(export: ExportedEncoder, image_size: int, seed: int = 0) -> keras.Model:
    """The same network with fresh random weights, as it was before any training.

    Args:
      export: the loaded SavedModel.
      image_size: side S of the images it will see.
      seed: of the weights; sets the program's random state.

    Raises:
      ValueError: see `load_keras_encoder`.
    """
    encoder = load_keras_encoder(export, image_size)
    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(encoder)
