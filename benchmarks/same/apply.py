"""Applies every operation of one library to images: python -m benchmarks.same.apply NAME IN OUT.

OUT, an .npz file, holds for each operation float32 [n, S, S, 3] in 0..255, rounded.
"""

import importlib
import sys

import numpy as np


def main():
    name, source, destination = sys.argv[1:]
    operations = importlib.import_module(f"benchmarks.same.{name}").OPERATIONS
    images = np.load(source)
    results = {
        operation: np.stack([np.asarray(apply(image), np.float32) for image in images])
        for operation, apply in operations.items()
    }
    np.savez(destination, **{name: np.floor(values + 0.5) for name, values in results.items()})


if __name__ == "__main__":
    main()
