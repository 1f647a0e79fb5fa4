"""Starting from the weights of an encoder that exists, instead of random ones."""

from collections.abc import Mapping
from typing import Optional

import numpy as np

from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.files.whole import fingerprint
from msbreg_tf.method.model import MSBReg


class InitialWeights:
    """The encoder weights of an export.

    Attributes:
      path: as the user gave it.
      weights: {name of the variable: array}.
      fingerprint: 16 hexadecimal digits, of names and values.
    """

    def __init__(self, path: str):
        """Reads the export.

        Raises:
          ValueError: no such export, or one without an encoder of ours in it.
        """
        encoder = load_encoder(path, flag="init_from")
        self.path = path
        self.weights: Mapping[str, np.ndarray] = encoder.weights()
        if not self.weights:
            raise ValueError(
                f"--init_from={path}: no encoder in it whose variables have names. Give "
                "export/<step> of a run."
            )
        parts = [f"{name} {w.shape}\0".encode() + w.tobytes() for name, w in self.weights.items()]
        self.fingerprint = fingerprint(*parts)

    def put_into(self, model: MSBReg) -> None:
        """Gives the online and the target encoder these weights.

        Raises:
          ValueError: it is another encoder; names the first variable that differs.
        """
        ours = {variable.name: variable for variable in model.encoder.variables}
        for name in sorted(ours.keys() | self.weights.keys()):
            there = self.weights[name].shape if name in self.weights else None
            here = tuple(ours[name].shape) if name in ours else None
            if there != here:
                raise ValueError(
                    f"--init_from={self.path}: another encoder: {name} is {_shown(there)} there "
                    f"and {_shown(here)} here. Make --encoder, --encoder_width, --stem and --norm "
                    "those of that export."
                )
        for name, variable in ours.items():
            variable.assign(self.weights[name])
        for target, online in model.target_pairs(trainable_only=False):
            target.assign(online)


def _shown(shape: Optional[tuple[int, ...]]) -> str:
    return "missing" if shape is None else "×".join(map(str, shape)) or "a number"
