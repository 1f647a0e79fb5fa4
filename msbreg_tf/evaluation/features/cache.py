"""Features of a whole split: computed once, kept on disk, never mistaken for those of another.

    cache_dir/<data set>-<split>-<key>/
      job.json         export, data and preprocessing; the key is a hash of it
      000000.block …   features, labels and where the next block starts

Another export, split, image size or other data make another key. The first block that is missing or
damaged is computed again, with all after it.
"""

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np
from tqdm import tqdm

from msbreg_tf.data.labelled.epochs import central_images
from msbreg_tf.data.labelled.records import check_labelled, check_none_lost
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.errors import note_broken
from msbreg_tf.evaluation.features.blocks import BlockStore
from msbreg_tf.evaluation.features.exported import ExportedEncoder
from msbreg_tf.evaluation.rows import check_finite
from msbreg_tf.files.whole import fingerprint, fingerprint_of_json

_BLOCK = 4096  # images; 32 MiB of features at F = 2048
_FORMAT = 3  # of blocks and preprocessing; to be counted up by whoever changes either


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of a split.

    Attributes:
      features: float32 [n, F], not normalised.
      labels: int64 [n].
      split_fingerprint: 16 hexadecimal digits, of all labels and a few images.
      broken: names of the files that can't be read and have no row here.
    """

    features: np.ndarray
    labels: np.ndarray
    split_fingerprint: str
    broken: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class _Block:
    """Features of the records that were read, and labels and whether they were, of all."""

    features: np.ndarray
    labels: np.ndarray
    good: np.ndarray
    is_last: bool


def split_features(
    encoder: ExportedEncoder,
    data: LabelledRecords,
    *,
    image_size: int,
    cache_dir: Optional[str] = None,
    batch_size: int = 256,
    block_size: int = _BLOCK,
) -> Features:
    """Embeds a labelled split, or reads its features from the cache.

    Args:
      encoder: the export.
      data: the split.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.
      cache_dir: where features are kept and an interrupted computation continues; None: nowhere.
        If it can't be used, a line says so and the features are computed without it.
      batch_size: images embedded at once.
      block_size: images to a file of the cache, so much is lost at an interruption.

    Raises:
      ValueError: no labels, no image that can be read, a class of which none can be read, or images
        that the encoder can't take.
    """
    identity = {
        "format": _FORMAT,
        "export": encoder.fingerprint,
        "split": data.name,
        "count": data.count,
        "data": {**data.identity, "pixels": data.pixels},
        "image_size": image_size,
    }
    folder = (
        None if cache_dir is None else _entry(cache_dir, data.name, fingerprint_of_json(identity))
    )
    store = BlockStore(folder, identity, called=f"--cache_dir={cache_dir}", optional=True)
    try:
        blocks = _stored(store)
        if not (blocks and blocks[-1].is_last):
            first = sum(len(block.labels) for block in blocks)
            embedded = _embed(encoder, data, first, image_size, batch_size)
            for block in _in_blocks(embedded, block_size):
                store.write(len(blocks), **dataclasses.asdict(block))
                blocks.append(block)
    finally:
        store.close()
    return _joined(blocks, data)


def _embed(
    encoder: ExportedEncoder, data: LabelledRecords, first: int, image_size: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields features of the good ones [g, F], labels [b], and which are good [b]."""
    images = central_images(data, image_size=image_size, first=first).batch(batch_size)
    with tqdm(
        total=data.count, initial=first, desc=data.name, unit=" images", mininterval=1, leave=False
    ) as bar:
        for _, pixels, labels, good in images.prefetch(2).as_numpy_iterator():
            check_labelled(labels, data.name)
            if good.any():
                features = encoder.embed(pixels[good])
                check_finite(features, f"embeddings by --saved_model={encoder.path}")
            else:
                features = np.zeros([0, encoder.feature_size], np.float32)
            yield features, labels, good
            bar.update(len(labels))


def _in_blocks(batches: Iterator[tuple], block_size: int) -> Iterator[_Block]:
    held, size = [], 0

    def block(is_last):
        return _Block(*(np.concatenate(column) for column in zip(*held)), is_last)

    for batch in batches:
        if size >= block_size:  # not sooner, so that the last block is never empty
            yield block(is_last=False)
            held, size = [], 0
        held.append(batch)
        size += len(batch[1])
    if held:
        yield block(is_last=True)


def _joined(blocks: list[_Block], data: LabelledRecords) -> Features:
    """Puts the blocks together and empties the list, so that nothing is held twice."""
    good = np.concatenate([block.good for block in blocks] or [np.zeros([0], bool)])
    if not good.any():
        raise ValueError(f"{data.name}: no image that can be read. Choose another split.")
    everything = np.concatenate([block.labels for block in blocks])
    broken = np.flatnonzero(~good)
    check_none_lost(everything, broken, data.classes, data.name)
    names = [data.files[row] for row in broken]
    note_broken(data.name, names, len(everything))
    labels = everything[good]
    features = np.empty([len(labels), blocks[0].features.shape[1]], np.float32)
    end = len(labels)
    while blocks:
        part = blocks.pop().features
        features[end - len(part) : end] = part
        end -= len(part)
    return Features(features, labels, fingerprint(labels.tobytes(), data.pixels), names)


def _entry(cache_dir: str, name: str, key: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:80]
    return os.path.join(os.path.expanduser(cache_dir), f"{readable}-{key}")


def _stored(store: BlockStore) -> list[_Block]:
    """The blocks from the first to the last, or to the one before the first bad one."""
    blocks = []
    while not (blocks and blocks[-1].is_last):
        arrays = store.read(len(blocks))
        if arrays is None:
            break
        blocks.append(_Block(**arrays))
    return blocks
