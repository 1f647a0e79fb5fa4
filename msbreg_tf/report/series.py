"""What was logged, as series over steps: with gaps, smoothed, thinned, and with interruptions."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from msbreg_tf.report.run_files import RunFiles

_NO_SERIES = ("step", "epoch", "changed")
_FROM_TENSORBOARD = {
    "throughput/images_per_second": "images_per_second",
    "spectrum/effective_rank": "effective_rank",
}


class Series(NamedTuple):
    """Values at steps: int64 [n] rising, and float64 [n], NaN where there was no finite value."""

    steps: np.ndarray
    values: np.ndarray

    @property
    def finite(self) -> "Series":
        """Without the gaps."""
        kept = np.isfinite(self.values)
        return Series(self.steps[kept], self.values[kept])


class Interruption(NamedTuple):
    """A process that continued a run: the first step that it logged, and the pause before it."""

    step: int
    seconds: float


def series_of(run: RunFiles) -> dict[str, Series]:
    """{name: series} of every number that the run logs, in the order of their first appearance."""
    found: dict[str, dict[int, float]] = {}
    for line in run.metrics:
        for name, value in line.items():
            if name not in _NO_SERIES and isinstance(value, (int, float, type(None))):
                found.setdefault(name, {})[line["step"]] = np.nan if value is None else value
    for tag, name in _FROM_TENSORBOARD.items():
        if points := run.points.get(tag):
            found.setdefault(name, {}).update((point.step, point.value) for point in points)
    return {name: _series(values) for name, values in found.items()}


def smoothed(values: np.ndarray, weight: Optional[float] = None) -> np.ndarray:
    """Exponential moving average without the pull towards 0 at its start; gaps stay gaps.

    Args:
      values: float [n].
      weight: w, of what came before, 0 to 1; by default 1 − 25/n, but from 0 to 0.95: a short
        series is left as it is.

    Returns:
      float64 [n]: s_i = Σ_j≤i w^(i−j) v_j / Σ_j≤i w^(i−j), over the finite values.
    """
    if weight is None:
        weight = min(0.95, max(0.0, 1 - 25 / max(len(values), 1)))
    total = mass = 0.0
    averages = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        if np.isfinite(value):
            total, mass = weight * total + value, weight * mass + 1
            averages[place] = total / mass
    return averages


def thinned(length: int, most: int = 500) -> np.ndarray:
    """Places of at most `most` of `length` values, evenly spaced, the first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))


def interruptions(run: RunFiles) -> list[Interruption]:
    """Where the run was continued by another process.

    A process can't tell the throughput of the first step that it logs, so such a step has a loss
    and no throughput. The pause is the time since the point before.
    """
    losses = run.points.get("train/loss", [])
    timed = {point.step for point in run.points.get("throughput/images_per_second", [])}
    return [
        Interruption(point.step, max(0.0, point.time - before.time))
        for before, point in zip(losses, losses[1:])
        if point.step not in timed
    ]


def seconds_of_training(run: RunFiles) -> float:
    """Time between the first and the last logged step without the pauses; 0 if it is not known."""
    losses = run.points.get("train/loss", [])
    if len(losses) < 2:
        return 0.0
    pauses = sum(pause.seconds for pause in interruptions(run))
    return max(0.0, losses[-1].time - losses[0].time - pauses)


def relative_fall(series: Series, share: float = 0.2) -> float:
    """How far a series fell in its last part, as a fraction of how far it fell in all; 0 if not.

    Args:
      series: of at least ten finite values, else 0 is returned.
      share: of the steps that count as the last part.
    """
    values = smoothed(series.finite.values)
    if len(values) < 10:
        return 0.0
    start = values[-1 - max(1, round(share * len(values)))]
    whole = values[: max(2, len(values) // 10)].max() - values.min()
    return float(max(0.0, start - values[-1]) / whole) if whole > 0 else 0.0


def late_rise(series: Series) -> Optional[tuple[float, float]]:
    """Values at three fifths of the steps and at the end, if a fifth of the rise came in between.

    Args:
      series: of a share, 0 to 1; of fewer than three finite values, or of a rise below 0.01 there,
        None is returned.
    """
    steps, values = series.finite
    if len(values) < 3:
        return None
    before, last = values[np.searchsorted(steps, 0.6 * steps[-1])], values[-1]
    if last - before < max(0.01, 0.2 * (last - values[0])):
        return None
    return float(before), float(last)


def spectra_over_time(run: RunFiles, most: int = 40) -> tuple[list[int], list[np.ndarray]]:
    """Steps, and at each the singular values of fixed views, largest first, from the histograms.

    A histogram keeps how many values lie between two edges, so a value is known up to the width of
    its bin: those of a bin are taken to lie evenly in it.
    """
    points: Sequence = run.points.get("spectrum/singular_values", [])
    chosen = [points[place] for place in thinned(len(points), most)] if points else []
    spectra = []
    for point in chosen:
        values = [np.zeros(0)]
        for left, right, mass in np.asarray(point.value, np.float64):
            count = round(max(mass, 0.0))
            values.append(left + (right - left) * (np.arange(count) + 0.5) / max(count, 1))
        spectra.append(np.sort(np.concatenate(values))[::-1])
    return [point.step for point in chosen], spectra


def _series(values: dict[int, float]) -> Series:
    steps = sorted(values)
    numbers = np.array([values[step] for step in steps], np.float64)
    return Series(np.array(steps, np.int64), np.where(np.isfinite(numbers), numbers, np.nan))
