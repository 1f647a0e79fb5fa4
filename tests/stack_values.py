"""What both stacks must agree on, as arrays in one file.

    python -m tests.stack_values FOLDER

FOLDER receives values.npz, and export/: an encoder of this stack.
"""

import os
import sys

import msbreg_tf  # isort: skip - before TensorFlow, of which it chooses the Keras
import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches
from msbreg_tf.data.sources.table import open_source
from msbreg_tf.evaluation.exporting import export_encoder
from msbreg_tf.method.schedules import warmup_cosine
from msbreg_tf.run.build import build_augmentation, build_model
from msbreg_tf.run.config import config_from_settings
from msbreg_tf.run.determinism import reproducible_sums

SETTINGS = {
    "dataset": "sample",
    "split": "test",
    "encoder_width": 8,
    "stem": "cifar",
    "hidden_size": 32,
    "projection_size": 16,
    "batch_size": 32,
    "epochs": 1,
    "warmup_epochs": 0.1,
    "seed": 3,
}
STEPS = 3


def main(folder: str) -> None:
    """Writes the values."""
    print(f"msbreg_tf {msbreg_tf.__version__}, TensorFlow {tf.__version__}")
    config = config_from_settings(SETTINGS)
    source = open_source(config.data)
    plan = ViewPlan(source, build_augmentation(config), seed=3, batch_size=32, num_views=4)
    batches = list(view_batches(plan, 0, STEPS))
    keras.utils.set_random_seed(0)
    with reproducible_sums():
        model = build_model(config, total_steps=31)
        # The initialisers' random numbers are Keras's own affair; these are the same everywhere.
        rng = np.random.default_rng(0)
        for variable in model.online_variables:
            if len(variable.shape) > 1:
                scale = np.sqrt(2 / np.prod(variable.shape[:-1]))
                variable.assign(scale * rng.normal(size=variable.shape))
        for target, online in model.target_pairs(trainable_only=False):
            target.assign(online)
        model.optimizer.learning_rate.assign(0.05)
        losses = [
            [float(value) for _, value in sorted(model.train_step(views).items())]
            for views in batches
        ]
    features = model(tf.cast(batches[0][:, 0], tf.float32), training=False).numpy()
    export_encoder(model.encoder, os.path.join(folder, "export"), image_size=32, metadata={})
    np.savez(
        os.path.join(folder, "values.npz"),
        names=sorted(model.train_step(batches[0])),
        order=[int(index) for index, _ in source.ordered(order_seed(3, 0))],
        draws=image_draws(views_seed(3, 0), tf.constant(7, tf.int64), 4).numpy(),
        views=np.stack([batch.numpy() for batch in batches]),
        schedule=[
            warmup_cosine(step, max_value=2.0, warmup_steps=3, total_steps=31) for step in range(31)
        ],
        losses=np.array(losses),
        features=features,
        images=batches[0][:, 0].numpy(),
    )


if __name__ == "__main__":
    main(sys.argv[1])
