"""How good an encoder is, as `tools.knn_eval` and `tools.linear_eval` measure it.

    python -m benchmarks.race.evaluate FOLDER

reads FOLDER/request.json, and writes accuracies in % to FOLDER/scores.json. Weights of a peer are
put into our encoder, which must then have the features that the peer's own had; so everyone is
measured by the same code in float32.
"""

import glob
import json
import os
import sys

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before it
from benchmarks.turns import die_with_parent

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip
from tensorflow import keras  # isort: skip

from benchmarks.race.probe import probe_images  # isort: skip
from msbreg_tf.data.labelled.arrays import labelled_images  # isort: skip
from msbreg_tf.data.sources.table import labelled_splits  # isort: skip
from msbreg_tf.evaluation.features.extract import extract_features  # isort: skip
from msbreg_tf.evaluation.knn import knn_accuracy  # isort: skip
from msbreg_tf.evaluation.linear.probe import linear_probe  # isort: skip
from msbreg_tf.evaluation.linear.settings import LinearSettings  # isort: skip
from msbreg_tf.networks.weights import read_weights  # isort: skip
from msbreg_tf.run.build import build_model  # isort: skip
from msbreg_tf.run.config import config_from_settings  # isort: skip

NEIGHBOURS = 20
TOLERANCE = 1e-4  # of the largest feature


def encoder_of(request, folder: str) -> keras.Model:
    """The race's network, with the weights that lie in the folder; without any, untrained.

    Raises:
      RuntimeError: a peer's weights do not give its features.
    """
    config = config_from_settings({**request["views"], "view_size": None})  # whole images
    keras.utils.set_random_seed(request["seed"])
    encoder = build_model(config, total_steps=1).encoder
    own = os.path.join(folder, "encoder.pth")
    for path in (own, *glob.glob(os.path.join(folder, "run", "export", "*", "encoder.keras"))):
        if os.path.exists(path):
            read_weights(path, "weights").put_into(encoder, "weights", "")
    if os.path.exists(own):
        theirs = np.load(os.path.join(folder, "probe.npy"))
        check_equal(features_of(encoder, probe_images(config.data.image_size)), theirs)
    return encoder


def check_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raises a RuntimeError if features [n, F] of two implementations are not the same."""
    apart = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not apart <= TOLERANCE:
        raise RuntimeError(f"our network gives other features than the peer's: {apart:.1e} apart")


def features_of(encoder: keras.Model, images: np.ndarray) -> np.ndarray:
    """Features of uint8 images, float32 [n, F]."""
    return extract_features(tf.function(lambda x: encoder(x, training=False)), images)


def scores(encoder: keras.Model, images) -> dict[str, float]:
    """Accuracies in %.

    Args:
      encoder: of images in 0..255.
      images: "dataset", "data_dir", "image_size"; "bank", the labelled split of neighbours and
        classifier, and "queries", the one that is classified.
    """
    splits = {name: images[name] for name in ("bank", "queries")}
    found = []
    for split in labelled_splits(images["dataset"], splits, images["data_dir"]):
        pixels, labels = labelled_images(split, images["image_size"])
        found += [features_of(encoder, pixels), labels]
    nearest = knn_accuracy(*found, k=[NEIGHBOURS])[NEIGHBOURS]
    probe = linear_probe(*found, LinearSettings())
    return {f"{NEIGHBOURS}-NN": 100 * nearest, "linear": 100 * probe.top1}


def main():
    die_with_parent()
    folder = sys.argv[1]
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    result = scores(encoder_of(request, folder), request["images"])
    with open(os.path.join(folder, "scores.json"), "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
