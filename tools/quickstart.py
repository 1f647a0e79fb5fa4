"""Train on the shipped images, export, and compare three encoders of the held-out images.

    python -m tools.quickstart --flagfile=flags/quickstart.cfg --workdir=runs/quickstart

Prints the 20-nearest-neighbour accuracy of raw pixels, of the untrained and of the trained encoder.
"""

import tensorflow as tf
from tensorflow import keras

from msbreg_tf import cli, train
from msbreg_tf.assembly import build_model
from msbreg_tf.config import Config
from msbreg_tf.data import labelled_images
from msbreg_tf.evaluation import extract_features, knn_accuracy

NEIGHBOURS = 20

cli.define_flags()


def main(argv):
    del argv
    config = cli.config_from_flags()
    export = train.train(config)
    accuracy = compare(config, export)
    print(f"\nTop-1 accuracy of {NEIGHBOURS}-NN on held-out images (seed {config.run.seed})")
    for name, value in accuracy.items():
        print(f"  {name:<18} {100 * value:5.1f} %")


def compare(config: Config, export: str) -> dict[str, float]:
    """k-NN accuracy on the data set's test split, with neighbours from its train split.

    Args:
      config: the run's settings.
      export: folder of its SavedModel.

    Returns:
      {"raw pixels": …, "untrained encoder": …, "trained encoder": …}, fractions.
    """
    size = config.data.image_size
    (train_images, train_labels), (test_images, test_labels) = (
        labelled_images(config.data.dataset, split, config.data.data_dir, size)
        for split in (config.run.knn_train_split, config.run.knn_test_split)
    )
    keras.utils.set_random_seed(config.run.seed)  # the same initial weights as the run's
    untrained = build_model(config, total_steps=1)
    trained = tf.saved_model.load(export)
    encoders = {
        "raw pixels": lambda images: tf.reshape(images, [len(images), -1]),
        "untrained encoder": tf.function(lambda images: untrained(images, training=False)),
        "trained encoder": lambda images: trained.signatures["serving_default"](image=images)[
            "embedding"
        ],
    }

    def accuracy(encoder) -> float:
        features = [extract_features(encoder, images) for images in (train_images, test_images)]
        return knn_accuracy(features[0], train_labels, features[1], test_labels, k=[NEIGHBOURS])[
            NEIGHBOURS
        ]

    return {name: accuracy(encoder) for name, encoder in encoders.items()}


if __name__ == "__main__":
    cli.run(main)
