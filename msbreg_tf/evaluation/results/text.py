"""Results as plain text: tables, and a spectrum drawn with bars."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned plain text: words to the left, numbers to the right with two decimals.

    Args:
      rows: {column: cell}; columns in the order in which they first appear. None is shown as –.

    Returns:
      Lines without a last line break; empty without rows.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = {
        column: all(isinstance(row.get(column), (int, float, type(None))) for row in rows)
        for column in columns
    }
    body = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(columns, *body)]
    lines = [
        "  ".join(
            text.rjust(width) if numeric[column] else text.ljust(width)
            for text, width, column in zip(cells, widths, columns)
        ).rstrip()
        for cells in [columns, *body]
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def spectrum_bars(values: np.ndarray, *, rows: int = 12, width: int = 40) -> str:
    """Draws a spectrum with one bar for a few of its singular values, as text.

    Args:
      values: singular values, largest first.
      rows: bars, at most; their ranks are spaced evenly on a logarithmic scale.
      width: characters of the longest bar.

    Returns:
      Lines "rank  value  bar", joined.
    """
    ranks = np.unique(np.geomspace(1, len(values), min(rows, len(values))).round().astype(int))
    largest = max(float(values[0]), 1e-300)
    lines = [
        f"{rank:5d}  {values[rank - 1]:.4f}  {'█' * round(width * values[rank - 1] / largest)}"
        for rank in ranks
    ]
    return "\n".join(line.rstrip() for line in lines)
