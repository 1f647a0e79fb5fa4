"""What a fine-tuning starts from: the export, random weights, or weights from elsewhere."""

import abc
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from msbreg_tf.evaluation.features.exported import ExportedEncoder
from msbreg_tf.evaluation.features.keras_twin import NAME, load_keras_encoder, untrained_twin
from msbreg_tf.evaluation.features.weights import weights_of
from msbreg_tf.evaluation.finetune.settings import SCRATCH
from msbreg_tf.evaluation.results.log import run_name
from msbreg_tf.files.whole import sha256_of

_FLAG = "compare"
_REMEDY = "Give weights of the same network as in --saved_model."
Embed = Callable[[np.ndarray], np.ndarray]  # images [b, S, S, 3] in 0–255 → features [b, F]


class Start(abc.ABC):
    """An encoder before its fine-tuning.

    Attributes:
      name: in tables.
      network: in the stamp of a protocol, so that no two starts have the same.
      digest: 16 hexadecimal digits that tell it from others.
    """

    name: str
    network: str
    digest: str

    @abc.abstractmethod
    def build(self, seed: int) -> keras.Model:
        """The encoder, made anew: images [*, S, S, 3] in 0–255 → features [*, F]."""

    def embed(self, seed: int) -> Embed:
        """What gives the features of the frozen encoder."""
        encoder = tf.function(self.build(seed))
        return lambda images: encoder(tf.cast(images, tf.float32), training=False).numpy()


class Pretrained(Start):
    """The export itself, by its encoder.keras."""

    name, network = "pretrained", "online encoder"

    def __init__(self, export: ExportedEncoder, image_size: int):
        """Refuses an export that can't be trained on."""
        self._export, self._image_size = export, image_size
        self.build(0)
        # Of what is trained: the export's own fingerprint is that of the SavedModel beside it.
        self.digest = sha256_of(os.path.join(export.path, NAME))[:16]

    def build(self, seed: int) -> keras.Model:
        """The same whatever the seed."""
        return load_keras_encoder(self._export, self._image_size)

    def embed(self, seed: int) -> Embed:
        """By the SavedModel."""
        return self._export.embed


class Scratch(Start):
    """The same network with random weights."""

    name, network, digest = SCRATCH, "the same network from random weights", SCRATCH

    def __init__(self, export: ExportedEncoder, image_size: int):
        self._export, self._image_size = export, image_size

    def build(self, seed: int) -> keras.Model:
        """Weights by the seed."""
        return untrained_twin(self._export, self._image_size, seed)


class Elsewhere(Start):
    """The same network with the weights of another export or of a file."""

    def __init__(self, path: str, export: ExportedEncoder, image_size: int):
        """Refuses weights of another network."""
        self._export, self._image_size = export, image_size
        self._weights = weights_of(path, _FLAG)
        place = os.path.abspath(os.path.expanduser(path))
        self.name = os.path.basename(place) if os.path.isfile(place) else run_name(place)
        self.digest = self._weights.fingerprint
        self.network = f"the same network from weights {self.digest}"
        self.described = self._weights.described()
        self.build(0)

    def build(self, seed: int) -> keras.Model:
        """The same whatever the seed."""
        encoder = load_keras_encoder(self._export, self._image_size)
        self._weights.put_into(encoder, _FLAG, _REMEDY)
        return encoder


def starts_of(export: ExportedEncoder, image_size: int, others: Sequence[str]) -> list[Start]:
    """The export, and what `--compare` names.

    Raises:
      ValueError: a path without weights, or with those of another network.
    """
    starts: list[Start] = [Pretrained(export, image_size)]
    for other in others:
        if other == SCRATCH:
            starts.append(Scratch(export, image_size))
            continue
        start = Elsewhere(other, export, image_size)
        if start.digest in {each.digest for each in starts}:
            raise ValueError(f"--{_FLAG}={other}: these weights are there twice. Leave them out.")
        if start.name in {each.name for each in starts}:
            start.name = other
        starts.append(start)
    return starts
