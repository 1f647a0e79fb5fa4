"""The loss terms and their gradient, ours and written plainly.

`what` is "values" or "squares", our total with that singular value form; "plain_values" or
"plain_squares", with `tf.linalg.svd`; "uniformity", ours, or "plain_uniformity". `rows` is N·K with
K = 4, `size` is D.
"""

import functools

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import tensorflow as tf  # isort: skip

from msbreg_tf.method import losses  # isort: skip

NUM_VIEWS = 4
LAMBDA_S, LAMBDA_B = 0.004, 0.5


def ours(form):
    def total(p, z):
        rows = tf.reshape(p, [-1, p.shape[-1]])
        return (
            losses.multiview_centroid_loss(p, z)
            + LAMBDA_S * losses.singular_value_loss(rows, form)
            + LAMBDA_B * losses.brownian_diffusive_loss(p, tf.constant([0, 0]))
        )

    return total


def plain(p, z, power):
    """As one writes them down first: a loop over views, an SVD, and autodiff through it.

    `power` of the singular values is 1 for "values" and 2 for "squares".
    """
    centroids = [
        tf.reduce_mean(tf.stack([z[:, j] for j in range(NUM_VIEWS) if j != k]), axis=0)
        for k in range(NUM_VIEWS)
    ]
    attraction = tf.add_n(
        [
            tf.reduce_mean(tf.reduce_sum((p[:, k] - centroids[k]) ** 2, axis=-1))
            for k in range(NUM_VIEWS)
        ]
    )
    rows = tf.reshape(p, [-1, p.shape[-1]])
    size, count = float(rows.shape[1]), float(rows.shape[0])
    values, _, _ = tf.linalg.svd(rows / tf.sqrt(count), full_matrices=False)
    singular = tf.reduce_sum(((tf.sqrt(size) * values) ** power - 1) ** 2)
    # Our directions, so that the totals can be compared; drawing normal numbers costs as much.
    directions = losses.brownian_directions(tf.constant([0, 0]), p.shape[0], p.shape[2])
    noise = tf.reduce_mean(tf.einsum("bkd,bd->bk", p, directions))
    return attraction / NUM_VIEWS + LAMBDA_S * singular + LAMBDA_B * noise


def ours_uniformity(p, z):
    del z
    return losses.uniformity_loss(tf.reshape(p, [-1, p.shape[-1]]))


def plain_uniformity(p, z):
    """Wang & Isola's: all pairs at once."""
    del z
    rows = tf.reshape(p, [-1, p.shape[-1]])
    count = rows.shape[0]
    norms = tf.reduce_sum(rows**2, axis=1)
    distances = norms[:, None] + norms - 2 * tf.matmul(rows, rows, transpose_b=True)
    potential = tf.exp(-2 * distances) * (1 - tf.eye(count))
    return tf.math.log(tf.reduce_sum(potential) / (count * (count - 1)))


TOTALS = {
    "values": ours("values"),
    "squares": ours("squares"),
    "plain_values": functools.partial(plain, power=1),
    "plain_squares": functools.partial(plain, power=2),
    "uniformity": ours_uniformity,
    "plain_uniformity": plain_uniformity,
}


def inputs(rows: int, size: int):
    """Unit p and z, float32 [rows / K, K, size], the same for everyone."""
    shape = [rows // NUM_VIEWS, NUM_VIEWS, size]
    draws = [tf.random.stateless_normal(shape, [seed, 0]) for seed in (1, 2)]
    return [tf.math.l2_normalize(draw, axis=-1) for draw in draws]


def with_gradient(what: str):
    """Function (p, z) → (total, its gradient by p)."""

    @tf.function
    def evaluate(p, z):
        with tf.GradientTape() as tape:
            tape.watch(p)
            total = TOTALS[what](p, z)
        return total, tape.gradient(total, p)

    return evaluate


def run(settings, tick):
    p, z = inputs(settings["rows"], settings["size"])
    evaluate = with_gradient(settings["what"])
    while True:
        evaluate(p, z)[0].numpy()
        tick(1)
