"""What a source of images is, and the one that holds its records in memory.

A *record* is an image as it is stored: encoded bytes, a path, or pixels. Order and skipping work on
records; only those that a step needs are decoded.
"""

import abc
from collections.abc import Callable
from typing import Optional, Union

import numpy as np
import tensorflow as tf

from msbreg_tf.data.images.jpeg import Reduce


class Source(abc.ABC):
    """Images without labels, in a reproducible order.

    Attributes:
      name: what it is: "stl10 1.0.0 train+unlabelled". No path is in it: data that moved to another
        folder is still the same.
      num_images: records in one epoch.
      image_shape: (H, W) if every image has the same, else None.
    """

    name: str
    num_images: int
    image_shape: Optional[tuple[int, int]]

    @abc.abstractmethod
    def ordered(self, seed: tf.Tensor, first: Union[int, tf.Tensor] = 0) -> tf.data.Dataset:
        """One shuffled epoch from position `first` on, not decoded; works inside `flat_map`.

        Args:
          seed: int32 or int64 [2]; decides the order alone.
          first: integer scalar; records before it are left out.

        Returns:
          Data set of (index int64 scalar, record scalar or [H, W, 3]); the index of a record is the
          same in every epoch.
        """

    @abc.abstractmethod
    def decode(self, record: tf.Tensor) -> tf.Tensor:
        """Turns a record into uint8 [H, W, 3] with graph operations only."""

    def decode_reduced(self, record: tf.Tensor, reduce: Reduce) -> tuple[tf.Tensor, tf.Tensor]:
        """As `decode`, but smaller where that costs less and `reduce` allows it.

        Returns:
          uint8 [H, W, 3], and the size of the whole image, int32 [2].
        """
        image = self.decode(record)
        return image, tf.shape(image)[:2]

    @abc.abstractmethod
    def records_in_memory(self) -> tf.Tensor:
        """Every record by its index, [n] or [n, H, W, 3], for access in any order.

        Raises:
          ValueError: the records are streamed from disk.
        """

    def records_in_graph(self) -> tf.Tensor:
        """What `records_in_memory` returns, by graph operations that work on another machine."""
        return self.records_in_memory()

    def needs_python(self) -> list[str]:
        """Names of the records that `decode` can't decode on another machine."""
        return []

    @property
    def fingerprint(self) -> str:
        """What must stay the same for a run on these images to be continued."""
        return f"{self.name}, {self.num_images} images"

    def log_broken_files_to(self, path: str) -> None:  # noqa: B027 - most sources have none
        """Collects the names of broken files in the file `path`, over several processes."""

    def broken_files(self) -> list[str]:
        """Paths of the files found broken so far, sorted; empty where nothing can break."""
        return []


class MemorySource(Source):
    """Records held in one tensor, in a new uniform random order every epoch."""

    def __init__(
        self,
        name: str,
        records: Union[np.ndarray, tf.Tensor],
        decode: Callable[[tf.Tensor], tf.Tensor],
        image_shape: Optional[tuple[int, int]] = None,
        read_again: Optional[Callable[[], tf.Tensor]] = None,
        reduced: Optional[Callable[[tf.Tensor, Reduce], tuple[tf.Tensor, tf.Tensor]]] = None,
    ):
        """Holds `records`.

        Args:
          name: for logs.
          records: [n] strings or [n, H, W, 3] uint8.
          decode: one record → uint8 [H, W, 3].
          image_shape: (H, W) if all images have the same.
          read_again: reads `records` from files, with graph operations only. Without it, other
            machines receive the records themselves, of less than 2 GiB.
          reduced: what `decode_reduced` shall do.
        """
        self.name = name
        self.image_shape = image_shape
        self._decode = decode
        self._reduced = reduced or super().decode_reduced
        self._read_again = read_again
        # tf.data runs on the CPU; without this, pixels would lie on a GPU and move for every image.
        with tf.device("CPU"):
            self._records = tf.convert_to_tensor(records)
        self.num_images = int(self._records.shape[0])

    def ordered(self, seed, first=0):
        order = permutation(self.num_images, seed)[first:]
        indices = tf.data.Dataset.from_tensor_slices(order)
        return indices.map(lambda index: (index, tf.gather(self._records, index)))

    def decode(self, record):
        return self._decode(record)

    def decode_reduced(self, record, reduce):
        return self._reduced(record, reduce)

    def records_in_memory(self):
        return self._records

    def records_in_graph(self):
        return self._read_again() if self._read_again else self._records


def permutation(length: int, seed: tf.Tensor) -> tf.Tensor:
    """A uniform random order of 0 … length − 1, int64 [length], that depends on `seed` alone.

    Args:
      length: how many.
      seed: int32 or int64 [2].
    """
    return tf.random.experimental.stateless_shuffle(
        tf.range(length, dtype=tf.int64), seed, alg="philox"
    )
