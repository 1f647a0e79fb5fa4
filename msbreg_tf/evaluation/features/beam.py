"""Embedding by Apache Beam's RunInference, on this machine or whatever its runner runs on.

The pipeline writes the very blocks that one process would write, into the same folder; so an
interrupted job continues by either engine, and the file is made of them in the same order. Every
worker must see the export, the images and the output under the same paths, and have this package.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from msbreg_tf.errors import RunFailedError, one_line
from msbreg_tf.evaluation.features.block_files import BlockFiles
from msbreg_tf.evaluation.features.blocks import BLOCK_SIZE, BlockStore, fill_blocks
from msbreg_tf.evaluation.features.exported import ExportedEncoder, load_encoder
from msbreg_tf.evaluation.features.files import file_images


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


class _Place(NamedTuple):
    """Where a row belongs."""

    block: int
    index: int


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
    examples = [
        (_Place(number, index), path)
        for number in missing
        for index, path in enumerate(paths[starts[number] : starts[number] + block_size])
    ]
    try:
        if missing:
            _run_pipeline(handler, examples, store.files(), arguments, feature_size)
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
    handler: ExportHandler,
    examples: Sequence[tuple[_Place, str]],
    files: BlockFiles,
    arguments: str,
    feature_size: int,
) -> None:
    with beam.Pipeline(options=PipelineOptions(shlex.split(arguments))) as pipeline:
        _ = (
            pipeline
            | "images" >> beam.Create(examples)
            | "spread" >> beam.Reshuffle()
            | "embed" >> RunInference(KeyedModelHandler(handler))
            | "by block" >> beam.MapTuple(lambda place, row: (place[0], (place[1], row)))
            | "gather" >> beam.GroupByKey()
            | "write" >> beam.ParDo(_WriteBlock(files, feature_size))
        )
