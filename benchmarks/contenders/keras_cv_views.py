"""keras-cv's stock layers in tf.data: chunks of images in parallel calls, as ours.

TensorFlow is set up as for ours (oneDNN on). A chunk's views go through every layer at once;
`RandomApply` decides for each of them.
"""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

import keras_cv  # isort: skip


def chain(size: int) -> list:
    """The layers with the method's strengths, as near as their parameters allow.

    Brightness is additive in keras-cv; hue 0.2 means ±0.1 turn; a saturation factor f multiplies
    by f / (1 − f), so 0.444 to 0.545 is about ×0.8 to ×1.2.
    """
    layers = keras_cv.layers
    float32 = {"dtype": "float32"}
    jitter = layers.RandomColorJitter((0, 255), 0.4, 0.4, (0.8 / 1.8, 1.2 / 2.2), 0.2, **float32)
    half = layers.Solarization((0, 255), threshold_factor=(127.5, 127.5), **float32)
    kernel = 2 * max(1, size // 20) + 1
    return [
        layers.RandomCropAndResize((size, size), (0.08, 1.0), (3 / 4, 4 / 3), **float32),
        layers.RandomFlip("horizontal", **float32),
        layers.RandomApply(jitter, rate=0.8, **float32),
        layers.RandomApply(layers.Grayscale(3, **float32), rate=0.2, **float32),
        layers.RandomGaussianBlur(kernel, (0.1, 2.0), **float32),
        layers.RandomApply(half, rate=0.2, **float32),
    ]


def batches(settings):
    """Data set of float32 [N, K, S, S, 3], without end."""
    images = np.load(settings["images"])
    batch, num_views, size = (settings[name] for name in ("batch", "num_views", "size"))
    chunk = settings.get("chunk", 32)
    layers = chain(size)

    def augment(images):
        views = tf.repeat(tf.cast(images, tf.float32), num_views, axis=0)
        for layer in layers:
            views = layer(views, training=True)
        return tf.reshape(views, [chunk, num_views, size, size, 3])

    data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).repeat()
    data = data.batch(chunk, drop_remainder=True).map(augment, tf.data.AUTOTUNE, False)
    return data.unbatch().batch(batch) if batch % chunk else _join(data, batch // chunk)


def _join(data, chunks: int):
    data = data.batch(chunks, drop_remainder=True)
    return data.map(lambda v: tf.reshape(v, [-1, *v.shape[2:]])).prefetch(2)


def run(settings, tick):
    for views in batches(settings):
        tick(views.shape[0] * views.shape[1])
