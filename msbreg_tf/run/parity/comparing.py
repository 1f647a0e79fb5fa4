"""Records of the same steps on several numbers of replicas, compared. No TensorFlow here."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOVING_VARIANCES = "moving variances"
# Sums over replicas round at other places than shifted views do.
_MARGIN = 16.0
_SMALLEST_TOLERANCE = 2.0**-20  # 16 units in the last place
_LARGEST_TOLERANCE = 2e-3  # beyond, the comparison could not see a mistake
# An entry smaller than this fraction of its quantity's largest may be all rounding: the gradient of
# a bias before a batch norm is.
_NEGLIGIBLE = 1 / 32
# Sizes of quantities whose own values are what chance leaves of a sum of both signs: the Brownian
# loss is a mean of cosines.
_SIZES = {"brownian": 1.0}

Record = dict[str, list[tuple[str, np.ndarray]]]  # {quantity: [(name, value)]}


class Row(NamedTuple):
    """One quantity of the table: what rounding alone does, and each number of replicas."""

    quantity: str
    rounding: float
    tolerance: float
    deviations: dict[int, float]
    broken: str  # the first entry beyond the tolerance: what broke earliest is the cause; or ''


def compare(reference: Record, shifted: Sequence[Record], others: dict[int, Record]) -> list[Row]:
    """Compares records with that of one replica.

    Args:
      reference: one replica, with the batch norm of several.
      shifted: the same on shifted views, for the size of rounding.
      others: {R: record of R replicas}; 1 is one replica as it trains.

    Returns:
      A row for every quantity. A deviation is the largest |a − b| of an entry, divided by the
      entry's own largest |b| or 1/32 of the quantity's, whichever is larger; of the Brownian loss,
      a mean of cosines, by 1.
    """
    rows = []
    for quantity, entries in reference.items():
        rounding = max(max(_deviations(quantity, record[quantity], entries)) for record in shifted)
        tolerance = min(max(_MARGIN * rounding, _SMALLEST_TOLERANCE), _LARGEST_TOLERANCE)
        if quantity == "initial weights":
            tolerance = 0.0
        found = {
            r: _deviations(quantity, record[quantity], entries)
            for r, record in others.items()
            if r > 1 or quantity != MOVING_VARIANCES
        }
        broken = [
            name
            for (name, _), *values in zip(entries, *found.values())
            if not max(values) <= tolerance
        ]
        deviations = {r: max(values) for r, values in found.items()}
        rows.append(Row(quantity, rounding, tolerance, deviations, broken[0] if broken else ""))
    return rows


def _deviations(quantity: str, entries, expected) -> list[float]:
    """Relative deviations of the entries, each from the expected one of the same name."""
    assert [name for name, _ in entries] == [name for name, _ in expected], "unlike records"
    least = max(_NEGLIGIBLE * max(np.max(np.abs(value)) for _, value in expected), 1e-30)
    least = max(least, _SIZES.get(quantity, 0.0))
    deviations = []
    for (_, ours), (_, theirs) in zip(entries, expected):
        deviation = np.max(np.abs(ours - theirs)) / max(np.max(np.abs(theirs)), least)
        deviations.append(float(deviation) if np.isfinite(deviation) else float("inf"))
    return deviations


def save_record(path: str, record: Record) -> None:
    """Writes a record as .npz."""
    flat = {
        f"{quantity}|{index}|{name}": value
        for quantity, entries in record.items()
        for index, (name, value) in enumerate(entries)
    }
    np.savez(path, **{key.replace("/", "\\"): value for key, value in flat.items()})


def load_record(path: str) -> Record:
    """Reads what `save_record` wrote."""
    record: Record = {}
    with np.load(path) as file:
        for key in file.files:
            quantity, _, name = key.replace("\\", "/").split("|")
            record.setdefault(quantity, []).append((name, file[key]))
    return record


def table(rows: Sequence[Row], counts: Sequence[int]) -> str:
    """The rows as text, a column for each number of replicas."""
    head = ["quantity", "rounding", "tolerance", *(f"R = {count}" for count in counts), ""]
    lines = [head]
    for row in rows:
        values = [row.deviations.get(count) for count in counts]
        verdict = f"FAIL (first: {row.broken})" if row.broken else "pass"
        numbers = [f"{row.rounding:.1e}", f"{row.tolerance:.1e}"]
        numbers += ["–" if value is None else f"{value:.1e}" for value in values]
        lines.append([row.quantity, *numbers, verdict])
    first = max(len(line[0]) for line in lines)
    text = "\n".join(
        f"{line[0]:<{first}}  " + "".join(f"{cell:>10}" for cell in line[1:-1]) + f"  {line[-1]}"
        for line in lines
    )
    return f"Largest deviation from one replica, relative\n{text.rstrip()}"
