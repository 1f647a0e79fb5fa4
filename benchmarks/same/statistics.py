"""What a contender's views look like in numbers.

    python -m benchmarks.same.statistics MODULE SETTINGS

Prints a JSON line with the mean and standard deviation of all values, of the views' own means, and
the mean absolute difference of neighbours in a row, which crop size and blur decide; all in 0..255.
"""

import importlib
import itertools
import json
import sys

import numpy as np

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def main():
    module, settings = sys.argv[1], json.loads(sys.argv[2])
    contender = importlib.import_module(f"benchmarks.contenders.{module}")
    batches = itertools.islice(contender.batches(settings), settings["batches"])
    views = np.concatenate([levels(numpy(views)) for views in batches])
    print(json.dumps(statistics(views)))


def numpy(views) -> np.ndarray:
    """Of a tensor of either library, wherever it lies."""
    return np.asarray(views.cpu() if hasattr(views, "cpu") else views)


def levels(views: np.ndarray) -> np.ndarray:
    """Views of any contender → float32 [n, S, S, 3] in 0..255."""
    if views.shape[-1] != 3:
        views = np.moveaxis(views, -3, -1)
    if views.min() < -0.01:
        views = 255 * (views * _STD + _MEAN)
    elif views.max() < 2:
        views = 255 * views
    return views.reshape(-1, *views.shape[-3:]).astype(np.float32)


def statistics(views: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(views.mean()),
        "deviation": float(views.std()),
        "deviation of view means": float(views.mean(axis=(1, 2, 3)).std()),
        "neighbours differ by": float(np.abs(np.diff(views, axis=2)).mean()),
    }


if __name__ == "__main__":
    main()
