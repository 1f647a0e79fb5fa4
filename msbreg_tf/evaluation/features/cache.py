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
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
from absl import logging
from tqdm import tqdm

from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.data.labelled.records import check_labelled
from msbreg_tf.data.pipeline.parallel import parallel_map
from msbreg_tf.data.sources.records import LabelledRecords
from msbreg_tf.data.sources.table import labelled_records
from msbreg_tf.evaluation.features.blocks import BlockStore
from msbreg_tf.evaluation.features.exported import ExportedEncoder
from msbreg_tf.evaluation.rows import check_finite
from msbreg_tf.files.whole import fingerprint, fingerprint_of_json

_BLOCK = 4096  # images; 32 MiB of features at F = 2048
_FORMAT = 2  # of blocks and preprocessing; to be counted up by whoever changes either


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of a split.

    Attributes:
      features: float32 [n, F], not normalised.
      labels: int64 [n].
      split_fingerprint: 16 hexadecimal digits, of all labels and a few images.
    """

    features: np.ndarray
    labels: np.ndarray
    split_fingerprint: str


@dataclasses.dataclass(frozen=True)
class _Block:
    features: np.ndarray
    labels: np.ndarray
    next_record: int  # of the data set; broken records have no features
    is_last: bool


def split_features(
    encoder: ExportedEncoder,
    dataset: str,
    split: str,
    data_dir: Optional[str],
    *,
    image_size: int,
    cache_dir: Optional[str] = None,
    limit: Optional[int] = None,
    batch_size: int = 256,
    block_size: int = _BLOCK,
) -> Features:
    """Embeds a labelled split, or reads its features from the cache.

    Args:
      encoder: the export.
      dataset: as --dataset.
      split: in the notation of --split.
      data_dir: as --data_dir.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.
      cache_dir: where features are kept and an interrupted computation continues; None: nowhere.
      limit: at most this many images; see `labelled_records` for which.
      batch_size: images embedded at once.
      block_size: images to a file of the cache, so much is lost at an interruption.

    Raises:
      ValueError: no such split, no labels, images that the encoder can't take, or a `cache_dir`
        that can't be written.
    """
    data = labelled_records(dataset, split, data_dir, limit)
    identity = {
        "format": _FORMAT,
        "export": encoder.fingerprint,
        "dataset": dataset,
        "split": split,
        "limit": limit,
        "count": data.count,
        "data": {**data.identity, "pixels": data.pixels},
        "image_size": image_size,
    }
    name = f"{dataset} {split}"
    store = None if cache_dir is None else _open_store(cache_dir, name, identity)
    blocks = [] if store is None else _stored(store)
    if not (blocks and blocks[-1].is_last):
        first = int(blocks[-1].next_record) if blocks else 0
        embedded = _embed(encoder, data, first, image_size, batch_size, name)
        for block in _in_blocks(embedded, block_size):
            if store is not None:
                store.write(len(blocks), **dataclasses.asdict(block))
            blocks.append(block)
    return _joined(blocks, data, name)


def _embed(
    encoder: ExportedEncoder,
    data: LabelledRecords,
    first: int,
    image_size: int,
    batch_size: int,
    name: str,
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yields features [b, F], labels [b] and the number of records that are done."""

    def load(index, record_and_label):
        record, label = record_and_label
        return index, resize_and_crop(data.decode(record), image_size), label

    records = data.records.enumerate().skip(first)
    images = parallel_map(records, load)
    if data.may_break:
        images = images.ignore_errors(log_warning=True)
    batches = images.batch(batch_size).prefetch(2)
    with tqdm(
        total=data.count, initial=first, desc=name, unit=" images", mininterval=1, leave=False
    ) as bar:
        for indices, pixels, labels in batches:
            labels = labels.numpy().astype(np.int64)
            check_labelled(labels, name)
            done = int(indices[-1]) + 1
            features = encoder.embed(pixels)
            check_finite(features, f"embeddings by --saved_model={encoder.path}")
            yield features, labels, done
            bar.update(done - bar.n)


def _in_blocks(batches: Iterator[tuple], block_size: int) -> Iterator[_Block]:
    held, size, done = [], 0, 0

    def block(is_last):
        features, labels = (np.concatenate([part[i] for part in held]) for i in (0, 1))
        return _Block(features, labels, done, is_last)

    for features, labels, until in batches:
        if size >= block_size:  # not sooner, so that the last block is never empty
            yield block(is_last=False)
            held, size = [], 0
        held.append((features, labels))
        size, done = size + len(labels), until
    if held:
        yield block(is_last=True)


def _joined(blocks: list[_Block], data: LabelledRecords, name: str) -> Features:
    """Puts the blocks together and empties the list, so that nothing is held twice."""
    if not blocks:
        raise ValueError(f"{name}: no images. Choose another split.")
    labels = np.concatenate([block.labels for block in blocks])
    features = np.empty([len(labels), blocks[0].features.shape[1]], np.float32)
    end = len(labels)
    while blocks:
        block = blocks.pop()
        features[end - len(block.labels) : end] = block.features
        end -= len(block.labels)
    if data.count is not None and len(labels) < data.count:
        logging.warning("%s: %d broken files left out.", name, data.count - len(labels))
    return Features(features, labels, fingerprint(labels.tobytes(), data.pixels))


def _open_store(cache_dir: str, name: str, identity: dict[str, Any]) -> BlockStore:
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:80]
    try:
        return BlockStore(
            os.path.join(
                os.path.expanduser(cache_dir), f"{readable}-{fingerprint_of_json(identity)}"
            ),
            identity,
        )
    except ValueError as error:
        raise ValueError(f"--cache_dir={cache_dir}: choose another. {error}") from error


def _stored(store: BlockStore) -> list[_Block]:
    """The blocks from the first to the last, or to the one before the first bad one."""
    blocks = []
    while not (blocks and blocks[-1].is_last):
        arrays = store.read(len(blocks))
        if arrays is None:
            break
        blocks.append(_Block(**arrays))
    return blocks
