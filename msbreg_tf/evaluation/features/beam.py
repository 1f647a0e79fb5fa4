"""Embedding by Apache Beam's RunInference, on this machine or whatever its runner runs on.

The pipeline writes the very blocks that one process would write, into the same folder; so an
interrupted job continues by either engine, and the file is made of them in the same order. Every
worker must see the export, the images and the output under the same paths, and have this package.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from msbreg_tf.errors import RunFailedError, one_line
from msbreg_tf.evaluation.features.block_files import BlockFiles
from msbreg_tf.evaluation.features.blocks import BLOCK_SIZE, BlockStore, fill_blocks
from msbreg_tf.evaluation.features.exported import ExportedEncoder, load_encoder
from msbreg_tf.evaluation.features.files import file_images
from msbreg_tf.files.whole import WRITING, write_whole


class ExportHandler(ModelHandler[str, Optional[np.ndarray], ExportedEncoder]):
    """Paths of images to rows; None of an image that can't be decoded."""

    def __init__(self, export: str, image_size: int, megapixels: float, batch_size: int):
        """Keeps what a worker needs.

        Args:
          export: folder of the SavedModel.
          image_size: side S in pixels.
          megapixels: larger images count as broken.
          batch_size: images embedded at once.
        """
        super().__init__()
        self._export = export
        self._image_size = image_size
        self._megapixels = megapixels
        self._batch_size = batch_size

    def load_model(self) -> ExportedEncoder:
        """Once for each worker."""
        return load_encoder(self._export)

    def run_inference(
        self, batch: Sequence[str], model: ExportedEncoder, inference_args: Any = None
    ) -> Iterable[Optional[np.ndarray]]:
        """The rows of a batch, float32 [F] each, in its order."""
        images = file_images(batch, self._image_size, self._megapixels)
        pixels, good = next(iter(images(0, len(batch)).batch(len(batch))))
        rows = model.embed(pixels)
        return [row if is_good else None for row, is_good in zip(rows, good.numpy())]

    def batch_elements_kwargs(self) -> dict[str, int]:
        """How many images Beam may put into a batch."""
        return {"min_batch_size": 1, "max_batch_size": self._batch_size}


class _ImagesOfBlock(beam.DoFn):
    """Number of a block → ((block, index), path) of its images.

    All workers read the paths from one file, as a pipeline of millions of paths is refused by some
    runners.
    """

    def __init__(self, paths: str, block_size: int):
        self._paths = paths
        self._block_size = block_size

    def process(self, number: int) -> Iterator[tuple[tuple[int, int], str]]:
        with open(self._paths, "rb") as file:
            paths = file.read().split(b"\0")
        start = number * self._block_size
        for index, path in enumerate(paths[start : start + self._block_size]):
            yield (number, index), os.fsdecode(path)


class _WriteBlock(beam.DoFn):
    """Writes the rows of a block once all of them are there."""

    def __init__(self, files: BlockFiles, feature_size: int):
        self._files = files
        self._feature_size = feature_size

    def process(self, element) -> Iterator[int]:
        number, rows = element
        rows = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
        good = np.array([row is not None for row in rows], bool)
        features = np.zeros([0, self._feature_size], np.float32)
        if good.any():
            features = np.stack([row for row in rows if row is not None])
        self._files.write(number, features=features, good=good)
        yield number


def fill_by_beam(
    handler: ExportHandler,
    paths: Sequence[str],
    store: BlockStore,
    arguments: str,
    feature_size: int,
    block_size: int = BLOCK_SIZE,
) -> np.ndarray:
    """Fills `store`, a folder, with the rows that are not in it yet.

    Args:
      handler: what embeds.
      paths: the n images.
      store: receives the blocks.
      arguments: flags of Apache Beam, as one would type them.
      feature_size: F.
      block_size: images in a block.

    Returns:
      bool [n], which images could be decoded.

    Raises:
      RunFailedError: the pipeline fails.
    """
    starts = range(0, len(paths), block_size)
    missing = [number for number in range(len(starts)) if store.read(number) is None]
    # The store removes files with this ending when it is opened and when it is done.
    listed = os.path.join(store.files().folder, f"paths{WRITING}")
    write_whole(listed, lambda file: file.write(b"\0".join(map(os.fsencode, paths))))
    images = _ImagesOfBlock(listed, block_size)
    write = _WriteBlock(store.files(), feature_size)
    try:
        if missing:
            _run_pipeline(missing, images, handler, write, arguments)
    except Exception as error:  # each runner has its own
        raise RunFailedError(
            f"--engine=beam: the pipeline failed ({one_line(error)}). Finished parts are kept; "
            "start the same command again."
        ) from error

    def lacking(start: int, stop: int) -> Iterator:
        raise RunFailedError(
            f"--engine=beam: images {start} to {stop} have no rows. Its workers must see the same "
            "folders as this machine; start the same command again."
        )

    return fill_blocks(lacking, len(paths), store, block_size=block_size, name="embed")


def _run_pipeline(
    numbers: Sequence[int],
    images: _ImagesOfBlock,
    handler: ExportHandler,
    write: _WriteBlock,
    arguments: str,
) -> None:
    with beam.Pipeline(options=PipelineOptions(shlex.split(arguments))) as pipeline:
        _ = (
            pipeline
            | "blocks" >> beam.Create(numbers)
            | "images" >> beam.ParDo(images)
            | "spread" >> beam.Reshuffle()
            | "embed" >> RunInference(KeyedModelHandler(handler))
            | "by block" >> beam.MapTuple(lambda place, row: (place[0], (place[1], row)))
            | "gather" >> beam.GroupByKey()
            | "write" >> beam.ParDo(write)
        )
