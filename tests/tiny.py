"""A model small enough to step in milliseconds, built from the real heads."""

import tensorflow as tf
from tensorflow import keras

from msbreg_tf.method.model import MSBReg
from msbreg_tf.method.settings import ObjectiveSettings
from msbreg_tf.networks.heads import build_predictor, build_projector

SIZE = 8


def tiny_model(
    *,
    synchronized=False,
    norm="batch",
    learning_rate=0.05,
    total_steps=10,
    accumulate_steps=1,
    **objective,
) -> MSBReg:
    """Compiled MSBReg on 8×8 images with F = 12 and D = 6; always the same initial weights."""
    keras.utils.set_random_seed(0)
    norm_layer = {
        "batch": lambda: keras.layers.BatchNormalization(synchronized=synchronized, name="norm"),
        "layer": lambda: keras.layers.GroupNormalization(1, name="norm"),
    }[norm]
    encoder = keras.Sequential(
        [
            keras.Input([SIZE, SIZE, 3]),
            keras.layers.Rescaling(1 / 128, -1),
            keras.layers.Conv2D(12, 3, strides=2, name="conv"),
            norm_layer(),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="online_encoder",
    )
    heads = {"hidden_size": 10, "output_size": 6, "norm": norm, "synchronized": synchronized}
    model = MSBReg(
        encoder,
        build_projector(input_size=12, name="online_projector", **heads),
        build_predictor(input_size=6, name="online_predictor", **heads),
        objective=ObjectiveSettings(**objective),
        total_steps=total_steps,
        seed=3,
        accumulate_steps=accumulate_steps,
    )
    model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9))
    model.optimizer.build(model.online_variables)
    return model


def tiny_views(batch=8, num_views=4, steps=1, seed=0) -> tf.data.Dataset:
    """`steps` batches of random views, uint8 [batch, num_views, 8, 8, 3]."""
    shape = [steps, batch, num_views, SIZE, SIZE, 3]
    pixels = tf.random.stateless_uniform(shape, [seed, 0], 0, 256, tf.int32)
    return tf.data.Dataset.from_tensor_slices(tf.cast(pixels, tf.uint8))
