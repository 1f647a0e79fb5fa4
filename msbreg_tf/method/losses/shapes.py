"""What a loss demands of the shape of its embeddings."""

import tensorflow as tf

VIEWS = "[B, K, D]"
ROWS = "[M, D]"


def float32(name: str, embeddings: tf.Tensor, layout: str) -> tf.Tensor:
    """Returns `embeddings` in float32, once they are seen to have the `layout` VIEWS or ROWS.

    Raises:
      ValueError: another rank, or an axis after the first whose size is not known when traced.
    """
    embeddings = tf.convert_to_tensor(embeddings)
    shape = embeddings.shape
    if shape.rank != len(layout.split(",")) or not shape[1:].is_fully_defined():
        raise ValueError(
            f"{name} has shape {shape}: expected {layout}, all but the first known when traced; "
            "reshape it first."
        )
    return tf.cast(embeddings, tf.float32)


def float32_pair(p: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns online `p` and target `z` as float32 [B, K, D], the target cut from the gradient.

    Raises:
      ValueError: another rank, or shapes that differ: broadcasting would give a wrong loss.
    """
    p, z = float32("p", p, VIEWS), float32("z", z, VIEWS)
    if not p.shape.is_compatible_with(z.shape):
        raise ValueError(f"z has shape {z.shape}: expected that of p, {p.shape}.")
    return p, tf.stop_gradient(z)
