"""Pictures as tensors. Which ones a step has, and how, depends on (seed, step) alone."""

import functools
import os
import pickle
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as run_lengths
from torch.utils.data import DataLoader, Dataset

from msbreg_tf.errors import RunFailedError
from msbreg_tf.evaluation.detection.pictures import Picture

_ORDER, _FLIPS = 0, 1  # which of a seed's random numbers


class Order:
    """Batches of (number of the picture, whether it is flipped), one for each step.

    Epochs are permutations, one after the other, so a batch may reach into the next.
    """

    def __init__(self, count: int, batch_size: int, seed: int, first: int, steps: int):
        """Of steps first, …, steps − 1 of a training on `count` pictures."""
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._steps = range(first, steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        for step in self._steps:
            first = step * self._batch_size
            places = range(first, first + self._batch_size)
            flips = np.random.default_rng([self._seed, _FLIPS, step]).random(self._batch_size) < 0.5
            yield [(self._picture(place), bool(flip)) for place, flip in zip(places, flips)]

    def _picture(self, place: int) -> int:
        epoch, position = divmod(place, self._count)
        return int(_permutation(self._count, self._seed, epoch)[position])


@functools.lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


class Lessons(Dataset):
    """(number, flip) → image float32 [3, H, W] in 0–1, and its target as torchvision wants it."""

    def __init__(self, pictures: Sequence[Picture], has_masks: bool):
        # As bytes: every look at a Python object copies its page into each process that reads.
        self._pictures = [pickle.dumps(picture) for picture in pictures]
        self._has_masks = has_masks

    def __getitem__(self, item: tuple[int, bool]):
        number, is_flipped = item
        picture = pickle.loads(self._pictures[number])
        image, boxes = read_image(picture), picture.boxes
        masks = _masks(picture) if self._has_masks else None
        if is_flipped:
            image = image.flip(2)
            boxes = boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [picture.width, 0, picture.width, 0]
            masks = None if masks is None else masks[:, :, ::-1].copy()
        target = {
            "boxes": torch.as_tensor(boxes, dtype=torch.float32),
            "labels": torch.as_tensor(picture.labels) + 1,  # 0 is the background
        }
        if masks is not None:
            target["masks"] = torch.as_tensor(masks)
        return image, target


def lessons(
    pictures: Sequence[Picture], order: Order, workers: int, has_masks: bool
) -> Iterator[list]:
    """The batches of `order`, read ahead by processes: a list of (image, target) each.

    Raises:
      RunFailedError: a picture can't be read.
    """
    data = _Forgiving(Lessons(pictures, has_masks))
    for batch in DataLoader(data, batch_sampler=order, num_workers=workers, collate_fn=list):
        for each in batch:
            if isinstance(each, RunFailedError):
                raise each
        yield batch


class _Forgiving(Dataset):
    """Gives errors instead of raising them: of one that another process raises, PyTorch makes a
    traceback of many lines."""

    def __init__(self, data: Dataset):
        self._data = data

    def __getitem__(self, item):
        try:
            return self._data[item]
        except RunFailedError as error:
            return error


def read_image(picture: Picture) -> torch.Tensor:
    """A picture's pixels, float32 [3, H, W] RGB in 0–1.

    Raises:
      RunFailedError: it can't be decoded, or has another size than its annotation says.
    """
    try:
        with Image.open(picture.path) as file:
            pixels = np.asarray(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunFailedError(
            f"{picture.path}: it can't be decoded ({error}). Restore it, and start the same "
            "command again."
        ) from None
    height, width = pixels.shape[:2]
    if (width, height) != (picture.width, picture.height):
        raise RunFailedError(
            f"{os.path.abspath(picture.path)}: it is of {width}×{height} pixels, and its "
            f"annotation says {picture.width}×{picture.height}. Correct one of them."
        )
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def _masks(picture: Picture) -> np.ndarray:
    """uint8 [n, H, W], 1 where an object is."""
    masks = np.zeros((len(picture.masks), picture.height, picture.width), np.uint8)
    for row, mask in zip(masks, picture.masks):
        row[:] = run_lengths.decode(_encoded(mask, picture.height, picture.width))
    return masks


def _encoded(mask, height: int, width: int):
    """COCO's compressed run lengths of polygons or of plain run lengths."""
    if isinstance(mask, list):
        return run_lengths.merge(run_lengths.frPyObjects(mask, height, width))
    if isinstance(mask["counts"], list):
        return run_lengths.frPyObjects(mask, height, width)
    return mask
