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


def fitting_tables(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Rows as `table` shows them, turned over and cut into several tables where they are too wide.

    Args:
      rows: {column: cell}; the first column names the row.
      width: characters of a line; a single column beside the names may still be wider.
    """
    if _width(rows) <= width:
        return [table(rows)]
    if len(rows) < len(rows[0]) - 1:  # more columns than rows: a line for each column
        rows = _turned(rows)
    first, *others = dict.fromkeys(column for row in rows for column in row)
    tables, part = [], []
    for column in others:
        if part and _width(_only(rows, [first, *part, column])) > width:
            tables.append(table(_only(rows, [first, *part])))
            part = []
        part.append(column)
    return [*tables, table(_only(rows, [first, *part]))]


def _turned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    first, *others = dict.fromkeys(column for row in rows for column in row)
    return [{"": other} | {row[first]: row.get(other) for row in rows} for other in others]


def _only(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{column: row.get(column) for column in columns} for row in rows]


def _width(rows: Sequence[Mapping[str, Any]]) -> int:
    return max(map(len, table(rows).splitlines()), default=0)


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
