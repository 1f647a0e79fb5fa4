"""An exported encoder, ours or not, as a function from images to features."""

import hashlib
import json
import os
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.errors import note, one_line
from msbreg_tf.files.exports import hint

SIGNATURE = "serving_default"
_CONTRACT = "image float32 [B, H, W, 3] → embedding float32 [B, F]"


class ExportedEncoder:
    """A loaded SavedModel that keeps the export contract (see `msbreg_tf/evaluation/exporting.py`).

    Attributes:
      path: its folder.
      fingerprint: 16 hexadecimal digits, of its graph and weights.
      feature_size: F.
      image_size: S in pixels; None if neither its signature nor a metadata.json tells.
      metadata: what is in metadata.json; empty without one.
    """

    def __init__(self, path: str, loaded: Any, metadata: dict[str, Any]):
        """Checks the signature of `loaded`; `load_encoder` explains the errors."""
        self.path = path
        self.metadata = metadata
        self._loaded = loaded  # the variables live as long as it does
        self._serve = loaded.signatures[SIGNATURE]
        self._said = False
        _check_signature(path, self._serve)
        self.fingerprint = _fingerprint(self._serve)
        self._spec = self._serve.structured_input_signature[1]["image"]
        height, width = self._spec.shape[1:3] if self._spec.shape.rank else (None, None)
        self.image_size: Optional[int] = metadata.get("image_size") or (
            height if height == width else None
        )
        known = self._serve.structured_outputs["embedding"].shape
        self.feature_size: int = (known[-1] if known.rank else None) or self._measured_size()

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features of `images`.

        Args:
          images: uint8 or float32 [b, H, W, 3] in 0–255.

        Returns:
          float32 [b, F].

        Raises:
          ValueError: images of a shape that the export does not take.
        """
        if not self._said and np.asarray(images).dtype.kind == "f" and np.size(images):
            if np.max(images) <= 1:
                note(f"{self.path}: images between 0 and 1; it takes pixels between 0 and 255.")
            self._said = True
        images = tf.cast(images, tf.float32)
        if not self._spec.shape.is_compatible_with(images.shape):
            raise ValueError(
                f"--saved_model={self.path}: it takes images {list(self._spec.shape)}, not "
                f"{list(images.shape)}. Set --image_size to the side it was exported for."
            )
        return self._serve(image=images)["embedding"].numpy()

    def weights(self) -> dict[str, np.ndarray]:
        """{name: value} of the encoder's variables, sorted; empty of an export that is not ours."""
        encoder = getattr(self._loaded, "encoder", None)
        variables = sorted(getattr(encoder, "variables", ()), key=lambda variable: variable.name)
        return {variable.name: variable.numpy() for variable in variables}

    def _measured_size(self) -> int:
        side = self.image_size or 32
        return self.embed(np.zeros([1, side, side, 3], np.float32)).shape[-1]


def load_encoder(path: str, flag: str = "saved_model") -> ExportedEncoder:
    """Loads an export; needs nothing of the code that trained it.

    Args:
      path: folder with saved_model.pb, for example runs/first/export/240.
      flag: how an error calls it.

    Raises:
      ValueError: no such folder, no or a corrupt SavedModel, or another signature.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(folder):
        raise ValueError(f"--{flag}={path}: no such folder. {hint(path)}")
    if not os.path.exists(os.path.join(folder, "saved_model.pb")):
        raise ValueError(f"--{flag}={path}: no saved_model.pb in it. {hint(path)}")
    metadata = _metadata(folder)
    try:
        loaded = tf.saved_model.load(folder)
        signatures = sorted(loaded.signatures)
    except Exception as error:  # a corrupt protobuf, missing variables, unknown operations
        raise ValueError(
            f"--{flag}={path}: cannot be loaded ({one_line(error)}). Export it again."
        ) from error
    if SIGNATURE not in signatures:
        raise ValueError(
            f"--{flag}={path}: it has no signature {SIGNATURE} ({_CONTRACT}), only "
            f"{', '.join(signatures) or 'none'}. Export it with that signature."
        )
    return ExportedEncoder(folder, loaded, metadata)


def _check_signature(path: str, serve) -> None:
    inputs, outputs = serve.structured_input_signature[1], serve.structured_outputs
    image = inputs.get("image")
    embedding = outputs.get("embedding") if isinstance(outputs, dict) else None
    right = (
        image is not None
        and len(inputs) == 1
        and image.dtype == tf.float32
        and image.shape.is_compatible_with([None, None, None, 3])
        and (image.shape.rank is None or image.shape[0] is None)
        and embedding is not None
        and embedding.dtype == tf.float32
        and (embedding.shape.rank in (None, 2))
    )
    if not right:
        raise ValueError(
            f"--saved_model={path}: its signature {SIGNATURE} is {_described(inputs)} → "
            f"{_described(outputs)}; expected {_CONTRACT}. Export it with that signature."
        )


def _described(tensors: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {spec.dtype.name} {spec.shape}" for name, spec in sorted(tensors.items())
    )


def _fingerprint(serve) -> str:
    """Of the weights, and of the operations and constants that the signature is made of.

    Not of files: TensorFlow writes the same model in other bytes each time.
    """
    digest = hashlib.sha256()
    for name, value in sorted(
        ((v.name, v.numpy()) for v in serve.variables), key=lambda pair: pair[0]
    ):
        digest.update(f"{name} {value.dtype} {value.shape}\0".encode() + value.tobytes())
    graph = serve.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    operations = []
    for node in nodes:
        constant = node.attr["value"].tensor if node.op == "Const" else None
        value = b"" if constant is None else tf.make_ndarray(constant).tobytes()
        operations.append(f"{node.op} {value.hex()}\0")
    digest.update("".join(sorted(operations)).encode())
    return digest.hexdigest()[:16]


def _metadata(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, "metadata.json")
    if not os.path.exists(path):
        return {}
    try:
        with open(path) as file:
            metadata = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({one_line(error)}). Remove it.") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{path}: expected a JSON object. Remove it.")
    return metadata
