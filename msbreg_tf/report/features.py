"""Features of a report's images, by the encoder, by the same network untrained, and raw pixels."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.evaluation.features.blocks import BlockStore, embed_blocks, stored_features
from msbreg_tf.evaluation.features.exported import ExportedEncoder, load_encoder
from msbreg_tf.evaluation.features.keras_twin import NAME, untrained_twin
from msbreg_tf.files.whole import fingerprint_of_json
from msbreg_tf.report.pictures import Pictures

_PIXELS_SIDE = 16  # to which images are made small before their pixels are compared


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of the same images, float32 [n, F] each.

    Attributes:
      trained: by the exported encoder.
      untrained: by the same network with fresh weights; None if the export has no encoder.keras.
      pixels: colours of the images made small, less the mean of each image.
    """

    trained: np.ndarray
    untrained: Optional[np.ndarray]
    pixels: np.ndarray

    @property
    def beside(self) -> tuple[str, np.ndarray]:
        """What the encoder is compared with, in words and numbers."""
        if self.untrained is None:
            return "raw pixels", self.pixels
        return "the untrained encoder", self.untrained


def features_of(
    export: str,
    pictures: Pictures,
    cache_dir: Optional[str],
    batch_size: int,
    seed: int,
    name: str = "",
) -> Features:
    """Embeds the pictures, or reads from the cache what was embedded before.

    Args:
      export: folder of the SavedModel.
      pictures: the images.
      cache_dir: where features are kept; None for nowhere.
      batch_size: images embedded at once.
      seed: of the untrained network's weights.
      name: of the run, for the line of progress.
    """
    encoder = load_encoder(export)
    job = {"export": encoder.fingerprint, "pictures": pictures.digest}
    keep = functools.partial(
        _embedded, pictures=pictures, cache_dir=cache_dir, batch_size=batch_size, name=name
    )
    trained = keep(encoder.embed, job={**job, "weights": "trained"})
    untrained = None
    if os.path.exists(os.path.join(export, NAME)):
        fresh = {**job, "weights": f"untrained, seed {seed}"}
        untrained = keep(_fresh(encoder, pictures.pixels.shape[1], seed), job=fresh)
    return Features(trained, untrained, pixel_features(pictures.pixels))


def pixel_features(pixels: np.ndarray) -> np.ndarray:
    """uint8 [n, S, S, 3] → float32 [n, 768], so that a cosine is a correlation of colours."""
    parts = [
        tf.image.resize(pixels[start : start + 1024], [_PIXELS_SIDE] * 2, antialias=True).numpy()
        for start in range(0, len(pixels), 1024)
    ]
    rows = np.concatenate(parts).reshape(len(pixels), -1).astype(np.float32)
    return rows - rows.mean(axis=1, keepdims=True)


def _fresh(encoder: ExportedEncoder, side: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    made = []  # only when it is needed: the cache may have its features

    def embed(images):
        if not made:
            made.append(tf.function(untrained_twin(encoder, side, seed)))
        return made[0](tf.cast(images, tf.float32), training=False).numpy()

    return embed


def _embedded(
    embed: Callable[[np.ndarray], np.ndarray],
    pictures: Pictures,
    job: dict[str, str],
    cache_dir: Optional[str],
    batch_size: int,
    name: str,
) -> np.ndarray:
    def images(start, stop):
        return tf.data.Dataset.from_tensor_slices(
            (pictures.pixels[start:stop], np.ones(stop - start, bool))
        )

    folder = None
    if cache_dir:
        key = fingerprint_of_json(job)
        folder = os.path.join(os.path.expanduser(cache_dir), f"report-{key}")
    count = len(pictures.pixels)
    with contextlib.closing(
        BlockStore(folder, job, called=f"--cache_dir={cache_dir}", optional=True)
    ) as store:
        embed_blocks(embed, images, count, store, batch_size=batch_size,
                     name=f"{name} {job['weights']}".strip())  # fmt: skip
        return np.concatenate(list(stored_features(store, count)))
