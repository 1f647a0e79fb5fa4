"""Starting from the weights of an encoder that exists, instead of random ones."""

from typing import Any

from msbreg_tf.evaluation.features.weights import weights_of
from msbreg_tf.method.model import MSBReg

_FLAG = "init_from"
_REMEDY = "Make --encoder, --encoder_width, --stem and --norm those of these weights."


class InitialWeights:
    """The encoder weights of an export, or of a file of torchvision, timm or ours."""

    def __init__(self, path: str):
        """Reads them.

        Raises:
          ValueError: no such export or file, or one without weights of an encoder.
        """
        self._weights = weights_of(path, _FLAG)
        self.fingerprint = self._weights.fingerprint  # 16 hexadecimal digits, of names and values

    def put_into(self, model: MSBReg) -> None:
        """Gives the online and the target encoder these weights.

        Raises:
          ValueError: it is another encoder; names the first variable that differs.
        """
        self._weights.put_into(model.encoder, _FLAG, _REMEDY)
        for target, online in model.target_pairs(trainable_only=False):
            target.assign(online)

    def plan(self) -> str:
        """What the run starts from, in a sentence."""
        return f"The encoder starts from {self._weights.described()}."

    def facts(self) -> dict[str, Any]:
        """Plain JSON values for the export's metadata."""
        weights = self._weights
        facts = {"from": weights.path, "format": weights.source, "weights": self.fingerprint}
        if weights.file_digest is not None:
            facts["file SHA-256"] = weights.file_digest
        return facts
