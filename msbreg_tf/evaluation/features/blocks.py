"""Embedding many images in blocks that survive an interruption."""

import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from msbreg_tf.files.whole import WRITING, write_text_whole, write_whole

_CHECKSUM_BYTES = 32
_JOB = "job.json"


class BlockStore:
    """The finished blocks of one job, in a folder of their own.

    A block is used only if it belongs to this very job and passes its checksum.
    """

    def __init__(self, folder: str, job: Mapping[str, Any]):
        """Opens the folder, and empties it if it belongs to another job.

        Args:
          folder: made if there is none.
          job: JSON values; all that decides what the blocks hold.

        Raises:
          ValueError: the folder holds something else, or cannot be made.
        """
        self._folder = pathlib.Path(folder)
        text = json.dumps(dict(job), sort_keys=True, indent=2)
        self._key = hashlib.sha256(text.encode()).hexdigest()
        path = self._folder / _JOB
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and any(self._folder.iterdir()):
                raise ValueError(f"{folder}: not a folder of unfinished embeddings. Move it away.")
            if path.exists() and path.read_text() != text:
                logging.warning("%s: images, encoder or size changed; starting anew.", folder)
                self.delete()
                self._folder.mkdir()
            write_text_whole(path, text)
        except OSError as error:
            raise ValueError(f"{folder}: cannot be written ({error.strerror}).") from error

    def read(self, number: int) -> Optional[dict[str, np.ndarray]]:
        """The arrays of a block as they were written, or None if it is missing or damaged."""
        path = self._path(number)
        if not path.exists():
            return None
        content = path.read_bytes()
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if checksum != self._checksum(number, payload):
            logging.warning("%s is damaged; computing it again.", path)
            return None
        with np.load(io.BytesIO(payload)) as arrays:
            return dict(arrays)

    def write(self, number: int, **arrays: np.ndarray) -> None:
        """Keeps a block, whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        payload = buffer.getvalue()
        content = self._checksum(number, payload) + payload
        write_whole(self._path(number), lambda file: file.write(content))

    def delete(self) -> None:
        """Removes what the store has written, and its folder if nothing else is in it."""
        for pattern in ("*.block", f"*{WRITING}", _JOB):
            for path in self._folder.glob(pattern):
                path.unlink()
        self._folder.rmdir()

    def _path(self, number: int) -> pathlib.Path:
        return self._folder / f"{number:06}.block"

    def _checksum(self, number: int, payload: bytes) -> bytes:
        return hashlib.sha256(f"{self._key} {number} ".encode() + payload).digest()


def embed_blocks(
    embed: Callable[[np.ndarray], np.ndarray],
    images: Callable[[int, int], tf.data.Dataset],
    count: int,
    store: BlockStore,
    *,
    batch_size: int = 256,
    block_size: int = 2048,
    name: str = "",
) -> np.ndarray:
    """Embeds what is not in `store` yet; shows a progress bar.

    Args:
      embed: uint8 [b, S, S, 3] → float32 [b, F].
      images: (start, stop) → data set of (uint8 [S, S, 3], bool whether it could be decoded) of the
        images from start up to stop.
      count: n.
      store: receives the blocks.
      batch_size: images embedded at once.
      block_size: images in a block; at most so many are lost by an interruption. Part of the job.
      name: for the bar.

    Returns:
      bool [n], which images could be decoded. The store has the features of these only.
    """
    everywhere = []
    with tqdm(total=count, desc=name, unit=" images", dynamic_ncols=True) as bar:
        for number, start in enumerate(range(0, count, block_size)):
            stop = min(start + block_size, count)
            kept = store.read(number)
            if kept is None:
                parts = []
                for pixels, good in images(start, stop).batch(batch_size).prefetch(2):
                    good = good.numpy()
                    parts.append((embed(pixels)[good], good))
                    bar.update(len(good))
                features, good = (np.concatenate(column) for column in zip(*parts))
                kept = {"features": features, "good": good}
                store.write(number, **kept)
            else:
                bar.initial += stop - start  # does not count for the speed
                bar.update(stop - start)
            everywhere.append(kept["good"])
    return np.concatenate(everywhere)


def stored_features(store: BlockStore, count: int, block_size: int = 2048) -> Iterator[np.ndarray]:
    """The features that `embed_blocks` has just put into `store`, block by block: [b, F] each."""
    for number, _ in enumerate(range(0, count, block_size)):
        yield store.read(number)["features"]
