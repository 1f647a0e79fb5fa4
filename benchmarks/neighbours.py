"""Nearest neighbours of many images: faiss's index beside the exact search. Time, memory, recall.

    python -m benchmarks.neighbours --images=1000000 --width=128
    python -m benchmarks.neighbours --features=embeddings.npz --all_exact

Time is processor time over all threads, so that other work on the machine counts little; that of
the clock is beside it. Without --features, features are made: points of a curved surface of
--dimensions dimensions in a space of --width, and some noise. Features of an encoder lie like that;
numbers without any structure, in 128 dimensions, would be a harder task than any images are.
"""

import contextlib
import dataclasses
import json
import resource
import time
from collections.abc import Iterator
from typing import Optional

import numpy as np

from msbreg_tf.commands import cli
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class NeighboursBenchSettings(Settings):
    """Which features, and what is looked up."""

    features: Optional[str] = setting(
        None, "File of features, .npz of tools.embed or .npy; without it they are made."
    )
    images: int = setting(100_000, "Rows of features that are made.", low=100)
    width: int = setting(128, "Numbers in each.", low=2)
    dimensions: int = setting(20, "Dimensions of the surface that they lie on.", low=1)
    queries: int = setting(1000, "Rows whose neighbours are looked up by both.", low=1)
    count: int = setting(10, "Neighbours of each.", low=1)
    all_exact: bool = setting(False, "Also looks up all rows by the exact search.")
    all_indexed: bool = setting(False, "Also looks up all rows by the index.")
    nearest_of_all: int = setting(50, "Neighbours of each row in those; tools.neighbours has 50.")


def main(own: NeighboursBenchSettings) -> None:
    """Prints a line of JSON for each measurement."""
    from msbreg_tf.evaluation.similar import Exact, Indexed, nearest_others

    rows = _read(own.features) if own.features else made(own.images, own.width, own.dimensions)
    queries = rows[np.random.default_rng(1).permutation(len(rows))[: own.queries]]
    _tell(what="features", images=len(rows), width=rows.shape[1], megabytes=rows.nbytes / 1e6)
    with _measured("index is made"):
        index = Indexed(rows)
    exact = Exact(rows)
    with _measured("index looks up", queries=len(queries)):
        _, found = index.nearest(queries, own.count)
    with _measured("exact search looks up", queries=len(queries)):
        similarity, truth = exact.nearest(queries, own.count)
    _tell(what="recall", of=own.count, recall=recall(found, truth), least=float(similarity.min()))
    results = []
    for name, search, wanted in (
        ("index", index, own.all_indexed),
        ("exact search", exact, own.all_exact),
    ):
        if wanted:
            with _measured(f"{name} looks up all", nearest=own.nearest_of_all):
                results.append(nearest_others(rows, own.nearest_of_all, search)[1])
    if len(results) == 2:
        _tell(what="recall", of=own.nearest_of_all, recall=recall(*results))


def made(count: int, width: int, dimensions: int) -> np.ndarray:
    """Points near a curved surface, float32 [count, width]."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=[dimensions, 4 * dimensions]).astype(np.float32) / dimensions**0.5
    second = rng.normal(size=[4 * dimensions, width]).astype(np.float32) / dimensions**0.5
    rows = np.empty([count, width], np.float32)
    for start in range(0, count, 65536):
        part = rows[start : start + 65536]
        flat = rng.standard_normal([len(part), dimensions], np.float32)
        part[:] = np.tanh(flat @ first) @ second
        part += 0.05 * rng.standard_normal(part.shape, np.float32)
    return rows


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours, int [n, k], that are among the found ones."""
    return float(np.mean([len(np.intersect1d(*pair)) for pair in zip(found, truth)])) / len(
        truth[0]
    )


def _read(path: str) -> np.ndarray:
    loaded = np.load(path)
    return loaded["embeddings"] if hasattr(loaded, "files") else loaded


@contextlib.contextmanager
def _measured(what: str, **more) -> Iterator[None]:
    before = _peak_megabytes()
    clock, processor = time.perf_counter(), time.process_time()
    yield
    _tell(
        what=what,
        **more,
        processor_seconds=time.process_time() - processor,
        seconds=time.perf_counter() - clock,
        peak_megabytes=_peak_megabytes(),
        more_megabytes=_peak_megabytes() - before,
    )


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tell(**values) -> None:
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
    print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    cli.run(cli.Command((NeighboursBenchSettings,), main), __doc__)
