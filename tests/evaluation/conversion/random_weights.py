"""Random weights of a whole ResNet under our own names, by NumPy alone."""

import numpy as np

from msbreg_tf.evaluation.conversion.names import state_shapes

_OURS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
_OURS["running_var"] = "moving_variance"


class Encoder:
    """As much of an `ExportedEncoder` as weights are written from."""

    image_size = 64
    metadata: dict = {}  # noqa: RUF012
    fingerprint = "0" * 16

    def __init__(self, architecture: str):
        self.feature_size = {"resnet18": 512, "resnet50": 2048}[architecture]
        self._weights = random_variables(architecture)

    def weights(self):
        return self._weights


def random_variables(architecture: str, seed: int = 0) -> dict[str, np.ndarray]:
    """He normal kernels [k, k, in, out], and batch norms far from the identity."""
    rng = np.random.default_rng(seed)
    variables = {}
    for name, shape in state_shapes(architecture).items():
        layer, _, role = name.rpartition(".")
        if len(shape) == 4:
            kernel = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            variables[f"{layer}/kernel:0"] = kernel.transpose(2, 3, 1, 0).astype(np.float32)
            continue
        is_centre = role in ("bias", "running_mean")
        value = rng.normal(0, 0.3, shape) if is_centre else rng.uniform(0.5, 1.5, shape)
        variables[f"{layer}/{_OURS[role]}:0"] = value.astype(np.float32)
    return variables
