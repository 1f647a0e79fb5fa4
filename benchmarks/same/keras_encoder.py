"""Our encoder and heads on some images, in training mode: weights, features, BYOL's loss.

    python -m benchmarks.same.keras_encoder IMAGES.npy OUT.npz

The loss is `--method=byol`'s, K = 2: the first half of the images against the second, online and
target having the same weights.
"""

import sys

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

from msbreg_tf.method.objective import Embeddings  # isort: skip
from msbreg_tf.run.build import build_model  # isort: skip
from msbreg_tf.run.config import config_from_settings  # isort: skip


def main():
    source, destination = sys.argv[1:]
    images = np.load(source)
    settings = {"image_size": images.shape[1], "method": "byol", "num_views": 2}
    tf.keras.utils.set_random_seed(0)
    model = build_model(config_from_settings(settings), total_steps=1)
    networks = {
        "encoder": model.encoder,
        "projector": model.projector,
        "predictor": model.predictor,
    }
    weights = {
        f"{name}/{layer.name}/{index}": value
        for name, network in networks.items()
        for layer in network.layers
        for index, value in enumerate(layer.get_weights())
    }
    views = tf.stack(tf.split(tf.constant(images), 2), axis=1)  # [B, 2, S, S, 3]
    features = model.encoder(tf.cast(images, tf.float32), training=False)
    target = model.embed_target(views, training=True)
    prediction, projection = model.embed(views, training=True)
    seed, first = tf.constant([0, 0]), tf.constant(0)
    settings = model.objective.settings
    terms = model.objective.terms(Embeddings(prediction, projection, target, seed, first, settings))
    np.savez(destination, **weights, features=features, loss=model.objective.total(terms))


if __name__ == "__main__":
    main()
