"""Draws docs/neighbours.png: what an encoder finds alike among the shipped images.

    python -m scripts.make_neighbours runs/quickstart/export/1560 docs/neighbours.png

A row for each class: its first held-out image, then the five nearest of the 5,000 training images
by the encoder, then by the same network before training. A green frame is the same class.
"""

import sys

import numpy as np
from PIL import Image, ImageDraw

from msbreg_tf.data.sources.sample import CLASSES, load_sample
from msbreg_tf.evaluation.features.exported import load_encoder
from msbreg_tf.evaluation.features.extract import extract_features
from msbreg_tf.evaluation.features.keras_twin import untrained_twin
from msbreg_tf.evaluation.rows import unit_rows

COUNT, TILE, GAP = 5, 44, 20


def nearest(embed, images: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Indices of the nearest images by cosine, [queries, COUNT]."""
    bank, rows = (unit_rows(extract_features(embed, each)) for each in (images, queries))
    return np.argsort(-rows @ bank.T, axis=1)[:, :COUNT]


def main(export: str, output: str) -> None:
    """Draws the picture."""
    encoder = load_encoder(export)
    twin = untrained_twin(encoder, 32, 0)
    images, labels = load_sample("train")
    held_out, theirs = load_sample("test")
    queries = held_out[[int(np.flatnonzero(theirs == c)[0]) for c in range(len(CLASSES))]]
    embeds = (encoder.embed, lambda batch: twin(np.asarray(batch, np.float32), training=False))
    found = [nearest(embed, images, queries) for embed in embeds]
    size = ((1 + 2 * COUNT) * TILE + 2 * GAP, len(queries) * TILE)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for label in range(len(queries)):
        columns = [(0, queries[label], False)]
        for block, indices in enumerate(found):
            left = (1 + block * COUNT) * TILE + (1 + block) * GAP
            for place, index in enumerate(indices[label]):
                columns.append((left + place * TILE, images[index], labels[index] == label))
        for x, pixels, is_same in columns:
            tile = Image.fromarray(pixels).resize((TILE - 4, TILE - 4), Image.Resampling.BICUBIC)
            box = (x, label * TILE, x + TILE - 1, (label + 1) * TILE - 1)
            if is_same:
                draw.rectangle(box, outline=(0, 170, 80), width=2)
            picture.paste(tile, (x + 2, label * TILE + 2))
    picture.quantize(256).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
