"""How far a converted file is from the export that it was made of."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from msbreg_tf.evaluation.conversion.samples import Samples, brought_to
from msbreg_tf.evaluation.conversion.target import Bar, Run

_AT_ONCE = 8
NEIGHBOURS = 20


class Verdict(NamedTuple):
    """What a comparison found.

    Attributes:
      difference: largest |difference of a feature| / largest |feature|, over batches.
      cosine: lowest cosine between the two rows of an image.
      images: how many.
      sizes: (height, width) of the images, each once.
    """

    difference: float
    cosine: float
    images: int
    sizes: list[tuple[int, int]]

    def keeps(self, bar: Bar) -> bool:
        """Whether it is within the bar; NaN is not."""
        return self.difference <= bar.difference and self.cosine >= bar.cosine


def compare(embed: Run, run: Run, samples: Samples, any_size: bool) -> Verdict:
    """Runs both on the same images.

    Args:
      embed: the export.
      run: the converted file.
      samples: the images.
      any_size: whether to give images of other sizes than the export's, too.
    """
    differences, cosines, images, sizes = [], [], 0, []
    for batch in _batches(samples, any_size):
        expected, found = (np.asarray(each(batch), np.float64) for each in (embed, run))
        if expected.shape != found.shape:
            raise ValueError(f"it gives {list(found.shape)}, not {list(expected.shape)}")
        differences.append(np.abs(found - expected).max() / np.abs(expected).max())
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosines.append((np.sum(found * expected, axis=1) / lengths).min())
        images += len(batch)
        sizes.append(batch.shape[1:3])
    # NumPy's extremes, unlike Python's, keep a NaN.
    return Verdict(
        float(np.max(differences)), float(np.min(cosines)), images, list(dict.fromkeys(sizes))
    )


def _batches(samples: Samples, any_size: bool) -> Iterator[np.ndarray]:
    for start in range(0, len(samples.squares), _AT_ONCE):
        yield samples.squares[start : start + _AT_ONCE].astype(np.float32)
    if any_size:
        yield from samples.others


def knn_cost(embed: Run, run: Run, size: int, count: int) -> dict[str, Any]:
    """k-NN accuracy on the shipped sample by the export and by the converted file, in %.

    Args:
      embed: the export.
      run: the converted file.
      size: side S of the images that both take.
      count: at most so many images of either split.
    """
    from msbreg_tf.data.sources.sample import load_sample
    from msbreg_tf.evaluation.knn import knn_accuracy

    splits = [[column[:count] for column in load_sample(split)] for split in ("train", "test")]
    total = 2 * sum(len(images) for images, _ in splits)
    accuracy = []
    with tqdm(total=total, desc="k-NN", unit=" images", leave=False) as bar:
        for each in (embed, run):
            train, test = (_features(each, images, size, bar.update) for images, _ in splits)
            labels = [labels for _, labels in splits]
            found = knn_accuracy(train, labels[0], test, labels[1], k=[NEIGHBOURS])
            accuracy.append(round(100 * found[NEIGHBOURS], 2))
    return {
        "k": NEIGHBOURS,
        "train_images": len(splits[0][0]),
        "test_images": len(splits[1][0]),
        "export_top1": accuracy[0],
        "file_top1": accuracy[1],
    }


def _features(
    run: Run, images: np.ndarray, size: int, on_done: Callable[[int], object]
) -> np.ndarray:
    rows = []
    for start in range(0, len(images), _AT_ONCE):
        batch = brought_to(images[start : start + _AT_ONCE], size)
        rows.append(run(batch.astype(np.float32)))
        on_done(len(batch))
    return np.concatenate(rows)
