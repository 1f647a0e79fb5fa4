"""A data set with Pascal VOC's own features and splits, small and with known contents."""

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.object_detection.voc import Voc

SPLITS = {"train": (0, 24), "validation": (24, 36), "test": (36, 66)}
COLOURED = ("aeroplane", "bicycle", "bird")  # labels 0, 1, 2


def shown_and_difficult(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the 20 classes image `number` shows, and of which it has difficult objects only."""
    shown = np.random.default_rng(number).random(20) < 0.5
    difficult = ~shown & (np.arange(20) % 7 == number % 7)
    return shown, difficult


def expected_targets(numbers) -> np.ndarray:
    """int8 [n, 20], as `open_multilabel` documents them."""
    pairs = [shown_and_difficult(number) for number in numbers]
    return np.stack([np.where(s, 1, np.where(d, 0, -1)) for s, d in pairs]).astype(np.int8)


def picture(number: int) -> np.ndarray:
    """uint8 [20 + number % 9, 30, 3]; aeroplane, bicycle, bird each brighten one channel.

    The first pixel is the number.
    """
    shown, _ = shown_and_difficult(number)
    image = np.tile(50 + 100 * shown[:3], (20 + number % 9, 30, 1)).astype(np.uint8)
    image[0, 0] = number
    return image


class TinyVoc(Voc):
    """66 images; TFDS knows it as tiny_voc/2007."""

    def _split_generators(self, dl_manager):
        return {split: self._numbered(*ends) for split, ends in SPLITS.items()}

    def _numbered(self, start, stop):
        for number in range(start, stop):
            yield number, self._example(number)

    def _example(self, number):
        names = self.info.features["labels"].feature.names
        shown, difficult = shown_and_difficult(number)
        # A class that is shown has a difficult object too: one that is not decides.
        objects = [
            (names[label], is_difficult)
            for is_difficult, members in ((True, shown | difficult), (False, shown))
            for label in np.flatnonzero(members)
        ]
        box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        other = {"bbox": box, "pose": "left", "is_truncated": False}
        return {
            "image": picture(number),
            "image/filename": f"{number}.jpg",
            "objects": [{"label": n, "is_difficult": d, **other} for n, d in objects],
            "labels": sorted({name for name, _ in objects}),
            "labels_no_difficult": sorted({name for name, hard in objects if not hard}),
        }
