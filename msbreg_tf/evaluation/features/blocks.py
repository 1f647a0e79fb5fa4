"""Embedding many images in blocks that survive an interruption."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from msbreg_tf.errors import note
from msbreg_tf.evaluation.features.block_files import BLOCK, Arrays, BlockFiles
from msbreg_tf.files import lock
from msbreg_tf.files.whole import WRITING, write_text_whole

_JOB = "job.json"
BLOCK_SIZE = 2048  # images
Rows = tuple[np.ndarray, np.ndarray]  # features of the good images, and which these are


class BlockStore:
    """The finished blocks of one job: in a folder of their own, or in memory.

    A block is used only if it belongs to this very job and passes its checksum. One process at a
    time works on a folder.
    """

    def __init__(
        self,
        folder: Optional[str],
        job: Mapping[str, Any],
        *,
        called: str = "",
        optional: bool = False,
    ):
        """Opens the folder; clears it of another job's blocks and of what a kill left behind.

        Args:
          folder: made if there is none; None for memory.
          job: JSON values; all that decides what the blocks hold.
          called: the folder with its flag, for messages; by default the folder.
          optional: whether the job goes on without the folder where that can't be used, and waits
            for another process that works on it.

        Raises:
          ValueError: the folder holds something else.
          RunFailedError: another process works on it.
          OSError: it can't be made or written, and isn't optional.
        """
        self._called = called or str(folder)
        self._optional = optional
        self._text = json.dumps(dict(job), sort_keys=True, indent=2)
        self._key = hashlib.sha256(self._text.encode()).hexdigest()
        self._memory: dict[int, Arrays] = {}
        self._folder: Optional[pathlib.Path] = None
        self._lock: Optional[lock.Lock] = None
        if folder is None:
            return
        try:
            self._open(pathlib.Path(folder))
        except OSError as error:
            self._do_without(error)

    def read(self, number: int) -> Optional[Arrays]:
        """The arrays of a block as they were written, or None if it is missing or damaged."""
        if number in self._memory:
            return self._memory[number]
        if self._folder is None:
            return None
        return self.files().read(number)

    def write(self, number: int, **arrays: np.ndarray) -> None:
        """Keeps a block, whole or not at all.

        Raises:
          OSError: it can't be written, and the folder isn't optional.
        """
        if self._folder is not None:
            try:
                self.files().write(number, **arrays)
                return
            except OSError as error:
                self._do_without(error)
        self._memory[number] = arrays

    def files(self) -> BlockFiles:
        """The files of a store in a folder; another process may write them, too."""
        return BlockFiles(str(self._folder), self._key)

    def delete(self) -> None:
        """Removes what the store has written, and its folder if nothing else is in it."""
        if self._folder is None:
            return
        self._clear()
        (self._folder / _JOB).unlink(missing_ok=True)
        self._lock.remove()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()
        self._folder = None

    def close(self) -> None:
        """Lets other processes work on the folder."""
        if self._lock is not None:
            self._lock.close()
        self._memory.clear()

    def _open(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = [path.name for path in folder.iterdir() if not _is_ours(path.name)]
        path = folder / _JOB
        if foreign and not path.exists():
            raise ValueError(
                f"{self._called}: not a folder of unfinished embeddings, it has {foreign[0]}. Move "
                "it away."
            )
        self._lock = lock.Lock(str(folder), self._called, wait=self._optional)
        self._folder = folder
        for partial in folder.glob(f"*{WRITING}"):
            partial.unlink()
        if path.exists() and path.read_text(errors="replace") == self._text:
            return
        if path.exists():
            note(f"{self._called}: images, encoder or size changed; starting anew.")
        self._clear()
        write_text_whole(path, self._text)

    def _clear(self) -> None:
        for pattern in (f"*{BLOCK}", f"*{WRITING}"):
            for path in self._folder.glob(pattern):
                path.unlink()

    def _do_without(self, error: OSError) -> None:
        if not self._optional:
            raise error
        note(f"{self._called}: can't be used ({error.strerror}); going on without it.")
        self._folder = None


def _is_ours(name: str) -> bool:
    """Whether a kill at some moment can have left this file in a folder of ours."""
    return name in (_JOB, lock.NAME) or os.path.splitext(name)[1] in (BLOCK, WRITING)


def embed_blocks(
    embed: Callable[[np.ndarray], np.ndarray],
    images: Callable[[int, int], tf.data.Dataset],
    count: int,
    store: BlockStore,
    *,
    batch_size: int = 256,
    block_size: int = BLOCK_SIZE,
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

    def batches(start: int, stop: int) -> Iterator[Rows]:
        for pixels, good in images(start, stop).batch(batch_size).prefetch(2):
            good = good.numpy()
            yield embed(pixels)[good], good

    return fill_blocks(batches, count, store, block_size=block_size, name=name)


def fill_blocks(
    batches: Callable[[int, int], Iterator[Rows]],
    count: int,
    store: BlockStore,
    *,
    block_size: int = BLOCK_SIZE,
    name: str = "",
) -> np.ndarray:
    """Fills `store` with the rows that are not in it yet; shows a progress bar.

    Args:
      batches: (start, stop) → for the images from start up to stop, batch by batch: features,
        float32 [g, F], of those that could be decoded, and bool [b], which these are.
      count: n.
      store: receives the blocks.
      block_size: images in a block; at most so many are lost by an interruption. Part of the job.
      name: for the bar.

    Returns:
      bool [n], which images could be decoded. The store has the features of these only.
    """
    everywhere = [np.zeros([0], bool)]
    with tqdm(total=count, desc=name, unit=" images", dynamic_ncols=True) as bar:
        for number, start in enumerate(range(0, count, block_size)):
            stop = min(start + block_size, count)
            kept = store.read(number)
            if kept is None:
                parts = []
                for part in batches(start, stop):
                    parts.append(part)
                    bar.update(len(part[1]))
                features, good = (np.concatenate(column) for column in zip(*parts))
                kept = {"features": features, "good": good}
                store.write(number, **kept)
            else:
                bar.initial += stop - start  # does not count for the speed
                bar.update(stop - start)
            everywhere.append(kept["good"])
    return np.concatenate(everywhere)


def stored_features(
    store: BlockStore, count: int, block_size: int = BLOCK_SIZE
) -> Iterator[np.ndarray]:
    """The features that `embed_blocks` has just put into `store`, block by block: [b, F] each."""
    for number, _ in enumerate(range(0, count, block_size)):
        yield store.read(number)["features"]
