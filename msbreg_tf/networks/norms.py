"""The three norm layers, and what each one asks of the kernels before it."""

from tensorflow import keras

from msbreg_tf.networks.standardized import StandardizedConv2D, StandardizedDense

EPSILON = 1e-5  # torchvision's, for all three; Keras's own default is 1e-3
NORMS = ("batch", "layer", "group_ws")
MAX_GROUPS = 32  # Wu & He 2018


class NormFamily:
    """Makes the norm layers of one network, and the kernels that go with them.

    - batch: batch norm; statistics over all replicas if `synchronized`.
    - layer: over (H, W, C) of one image, or over C in a head, scale and offset per channel.
    - group_ws: group norm, in the largest number of groups up to 32 that divides the channels,
      after kernels with weight standardisation (Qiao et al. 2019).

    Raises:
      ValueError: an unknown norm.
    """

    def __init__(self, norm: str, synchronized: bool):
        if norm not in NORMS:
            raise ValueError(f"norm={norm}: expected one of {', '.join(NORMS)}.")
        self._norm = norm
        self._synchronized = synchronized
        self.conv = StandardizedConv2D if norm == "group_ws" else keras.layers.Conv2D
        self.dense = StandardizedDense if norm == "group_ws" else keras.layers.Dense

    def norm(self, x, name: str):
        """Returns `x`, [*, C] or [*, H, W, C], after a new norm layer."""
        return self._layer(x.shape[-1], len(x.shape) == 2, name)(x)

    def _layer(self, channels: int, in_head: bool, name: str) -> keras.layers.Layer:
        if self._norm == "batch":
            # Synchronised batch norm is never fused, hence much slower: for several replicas only.
            return keras.layers.BatchNormalization(
                momentum=0.9, epsilon=EPSILON, synchronized=self._synchronized, name=name
            )
        # float32 in both: Keras takes group norm's moments in the compute dtype, and a sum in
        # bfloat16 has 8 bits.
        if self._norm == "layer" and in_head:
            return keras.layers.LayerNormalization(epsilon=EPSILON, dtype="float32", name=name)
        # Keras's LayerNormalization over (H, W, C) would learn a scale per pixel.
        groups = 1 if self._norm == "layer" else _num_groups(channels)
        return keras.layers.GroupNormalization(groups, epsilon=EPSILON, dtype="float32", name=name)


def _num_groups(channels: int) -> int:
    return max(n for n in range(1, MAX_GROUPS + 1) if channels % n == 0)
