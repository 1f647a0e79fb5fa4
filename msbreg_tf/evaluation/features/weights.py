"""The weights that a path names: of an export, or of a file."""

import os

from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.networks.weights import EncoderWeights, read_weights


def weights_of(path: str, flag: str) -> EncoderWeights:
    """The encoder's weights in an export of ours, or in a file of `files/tensors/table.py`.

    Args:
      path: folder or file.
      flag: how an error calls it.

    Raises:
      ValueError: there are none, or they can't be read; in one line.
    """
    if os.path.isfile(os.path.expanduser(path)):
        return read_weights(path, flag)
    values = load_encoder(path, flag).weights()
    if not values:
        raise ValueError(
            f"--{flag}={path}: no encoder in it whose variables have names. Give "
            "export/<step> of a run."
        )
    return EncoderWeights(path, "export", values)
