"""The export contract: a SavedModel for TF Serving and our tools, and a `.keras` for fine-tuning.

    export/<step>/saved_model.pb, variables/   two signatures, below; loads without this package
    export/<step>/encoder.keras                images [*, S, S, 3] in 0–255 → features [*, F]
    export/<step>/metadata.json                recipe, step, images, versions, preprocessing
    export/<step>/assets.extra/                requests that TF Serving warms up with

    serving_default   image        float32 [B, H, W, 3] in 0–255  → embedding float32 [B, F]
    serve_bytes       image_bytes  string [B], JPEG, PNG, GIF, BMP → embedding float32 [B, F]
                                                                     valid bool [B]

An image with a pixel that is not finite gives a row of NaN, and so does one that cannot be decoded,
whose `valid` is False: a server may merge the requests of several clients into one batch, and one
broken image must not fail them all. A signature has one dtype: NumPy images and JSON numbers of any
type are converted to float32, a uint8 tensor is not. The loaded object's `embed` takes tensors of
both types.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.data.images.resizing import fit_square
from msbreg_tf.data.images.squares import decode_squares
from msbreg_tf.errors import RunFailedError, root_cause
from msbreg_tf.evaluation.serving.warmup import replay_warmup, write_warmup
from msbreg_tf.files.whole import sync, sync_tree

PREPROCESSING = (
    "Images of another size are resized (antialiased bilinear) so that the shorter side is "
    "image_size, and cropped to the central square; pixels 0–255 are normalised inside the encoder."
)

LOADS_IN = (
    "TensorFlow 2.15 and newer: tf.saved_model.load; in Keras 3 also keras.layers.TFSMLayer",
    "Keras 2: TensorFlow 2.15, or tf_keras beside a newer TensorFlow; not Keras 3",
)
Answer = Callable[[tf.Tensor], dict[str, tf.Tensor]]


class Served(tf.Module):
    """A Keras model with its preprocessing, as saved.

    Its attribute `encoder` or `classifier` is the model, whatever it is called by.
    """

    def __init__(self, name: str, model: keras.Model, image_size: int, answer: Answer):
        super().__init__()
        setattr(self, name, model)
        self._model = model
        self._image_size = image_size
        self._answer = answer

    @tf.function
    def embed(self, image):
        """The model's rows for images, uint8 or float32 [B, H, W, 3] in 0–255: float32 [B, F]."""
        image = fit_square(tf.cast(image, tf.float32), self._image_size)
        batch = tf.shape(image)[0]
        # A convolution of no image at all is an error on CPUs.
        image = tf.pad(image, [[0, tf.maximum(1 - batch, 0)], [0, 0], [0, 0], [0, 0]])
        rows = tf.cast(self._model(image, training=False), tf.float32)
        # ReLU turns NaN into 0, and so the features of a broken image into plausible ones.
        is_finite = tf.reduce_all(tf.abs(image) <= tf.float32.max, axis=[1, 2, 3])
        return tf.where(is_finite[:, tf.newaxis], rows, float("nan"))[:batch]

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def serve(self, image):
        """The `serving_default` signature."""
        return self._answer(self.embed(image))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve_bytes(self, image_bytes):
        """The `serve_bytes` signature."""
        squares, valid = decode_squares(image_bytes, self._image_size)
        rows = tf.where(valid[:, tf.newaxis], self.embed(squares), float("nan"))
        return self._answer(rows) | {"valid": valid}


def export_encoder(
    encoder: keras.Model, folder: str, *, image_size: int, metadata: dict[str, Any]
) -> str:
    """Writes an encoder's export to `folder`, whole or not at all.

    Args:
      encoder: images [*, S, S, 3] in 0–255 → [*, F]; may live on several replicas.
      folder: `…/export/<step>`; replaced if it exists.
      image_size: S.
      metadata: recipe, step and versions, for `metadata.json`.

    Returns:
      `folder`.

    Raises:
      RunFailedError: it can't be written, or does not answer its own warm-up requests.
    """
    facts = {"feature_size": encoder.output_shape[-1]} | metadata
    return _export("encoder", encoder, folder, image_size, lambda f: {"embedding": f}, facts)


def export_classifier(
    classifier: keras.Model,
    folder: str,
    *,
    classes: Sequence[str],
    image_size: int,
    metadata: dict[str, Any],
) -> str:
    """Writes a classifier's export to `folder`, as `export_encoder` does an encoder's.

    Args:
      classifier: images [*, S, S, 3] in 0–255 → probabilities [*, C].
      folder, image_size, metadata: as there.
      classes: names of the C labels.
    """
    names = tf.constant([str(name) for name in classes])

    def answer(probabilities):
        likeliest = tf.gather(names, tf.argmax(probabilities, axis=1))
        is_known = tf.reduce_all(tf.math.is_finite(probabilities), axis=1)
        return {"probabilities": probabilities, "label": tf.where(is_known, likeliest, "")}

    facts = {"classes": list(map(str, classes))} | metadata
    return _export("classifier", classifier, folder, image_size, answer, facts)


def _export(
    name: str,
    model: keras.Model,
    folder: str,
    image_size: int,
    answer: Answer,
    facts: dict[str, Any],
) -> str:
    single = _plain_float32(model, image_size, name)
    server = Served(name, single, image_size, answer)
    for dtype in (tf.uint8, tf.float32):
        server.embed.get_concrete_function(tf.TensorSpec([None, None, None, 3], dtype, "image"))
    partial = os.path.join(os.path.dirname(folder), f".partial-{os.path.basename(folder)}")
    shutil.rmtree(partial, ignore_errors=True)
    facts = {"image_size": image_size, "preprocessing": PREPROCESSING} | facts
    facts["loads_in"] = {"SavedModel": LOADS_IN[0], f"{name}.keras": LOADS_IN[1]}
    try:
        signatures = {"serving_default": server.serve, "serve_bytes": server.serve_bytes}
        tf.saved_model.save(server, partial, signatures=signatures)
        single.save(os.path.join(partial, f"{name}.keras"))
        with open(os.path.join(partial, "metadata.json"), "w") as file:
            json.dump(facts, file, indent=2)
        write_warmup(partial, image_size)
        replay_warmup(partial)
        sync_tree(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
        sync(os.path.dirname(folder))
    except RunFailedError:
        raise
    except Exception as error:  # Keras and TensorFlow have their own for a full disk
        raise RunFailedError(
            f"the export can't be written to {folder} ({root_cause(error)}). Make room there, and "
            "start the same command again; checkpoints are kept."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_whole(folder: str, name: str = "encoder") -> bool:
    """Whether the export of a model of this name was finished there."""
    files = ("saved_model.pb", f"{name}.keras", "metadata.json")
    return all(os.path.exists(os.path.join(folder, file)) for file in files)


def _plain_float32(model: keras.Model, image_size: int, name: str) -> keras.Model:
    """A copy for one device and for images of one size, in float32, whatever the run computed in.

    At another size it would give other features without a word; so it refuses.
    """

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.from_config(layer.get_config() | {"dtype": "float32"})

    images = keras.Input([image_size, image_size, 3], name="image")
    copy = keras.models.clone_model(model, input_tensors=images, clone_function=plain)
    copy.set_weights(model.get_weights())
    return keras.Model(copy.inputs, copy.outputs[0], name=name)
