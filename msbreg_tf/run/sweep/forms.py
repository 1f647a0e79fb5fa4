"""A sweep's table as text, Markdown and CSV. No TensorFlow in here."""

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any

from msbreg_tf.evaluation.results.text import table as text_table
from msbreg_tf.run.sweep.table import Row, SweepTable
from msbreg_tf.settings import written

_WIDTH = 100


def as_text(table: SweepTable) -> str:
    """The table for a terminal, with its notes."""
    if not table.headings:
        return "Nothing is measured yet."
    notes = [textwrap.fill(note, _WIDTH, subsequent_indent="  ") for note in table.notes]
    return "\n".join(["\n\n".join(_fitting(table)), "", *notes]) + "\n"


def as_markdown(table: SweepTable) -> str:
    """The table for a page."""
    cells = _cells(table)
    names = list(cells[0])
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in cells:
        texts = ["–" if row[name] is None else _short(row[name]) for name in names]
        lines.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |")
    return "\n".join([*lines, "", *(f"{note}\n" for note in table.notes)])


def as_csv(table: SweepTable) -> str:
    """The table for programs: mean, deviation and number of seeds in columns of their own."""
    rows = []
    for row in table.rows:
        cells: dict[str, Any] = {**_names(table, row, brief=False), "seeds": row.seeds}
        for heading in table.headings:
            found = row.values[heading]
            cells[f"{heading} mean"] = found and found.mean
            cells[f"{heading} deviation"] = found and found.deviation
            cells[f"{heading} n"] = found.count if found else 0
            if heading in table.published_headings:
                cells[f"{heading} published"] = row.published[heading]
        rows.append(cells)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _fitting(table: SweepTable) -> list[str]:
    """Tables of at most `_WIDTH` characters where that is possible, each with the rows' names."""
    cells = _cells(table)
    names = [*_names(table, table.rows[0], brief=True), "seeds"]

    def drawn(columns: Sequence[str]) -> str:
        return text_table([{name: row[name] for name in (*names, *columns)} for row in cells])

    parts: list[str] = []
    columns: list[str] = []
    for heading in table.headings:
        added = [each for each in (heading, f"published {heading}") if each in cells[0]]
        wide = max(map(len, drawn([*columns, *added]).splitlines())) > _WIDTH
        if columns and wide:
            parts.append(drawn(columns))
            columns = []
        columns += added
    return [*parts, drawn(columns)]


def _cells(table: SweepTable) -> list[dict[str, Any]]:
    """Rows for a reader: '47.63 ± 1.90', or a number where there is one seed."""
    beside = table.published_headings
    rows = []
    for row in table.rows:
        cells = _names(table, row, brief=True)
        cells["seeds"] = _seeds(row)
        for heading in table.headings:
            found = row.values[heading]
            single = found is not None and found.deviation is None
            cells[heading] = found and (found.mean if single else str(found))
            if heading in beside:
                cells[f"published {heading}"] = row.published[heading]
        rows.append(cells)
    return rows


def _names(table: SweepTable, row: Row, brief: bool) -> dict[str, Any]:
    """The cells that tell a row from others; `brief` leaves settings out that its label tells."""
    labels = [each.label for each in table.rows]
    settings = dict(row.settings)
    if brief and all(labels):
        told = {name: {(each.label, str(each.settings[name])) for each in table.rows}
                for name in settings}  # fmt: skip
        settings = {k: v for k, v in settings.items() if len(told[k]) > len(set(labels))}
    label = {"row": row.label} if any(labels) else {}
    return {**label, **{name: _short(value) for name, value in settings.items()}}


def _seeds(row: Row) -> str:
    """How many seeds the numbers of a row are of."""
    measured = {spread.count for spread in row.values.values() if spread}
    least = min(measured, default=0)
    return str(row.seeds) if measured == {row.seeds} else f"{least} of {row.seeds}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else written(value)
