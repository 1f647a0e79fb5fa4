"""The results of a sweep as rows, with the paper's values beside them. No TensorFlow in here."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from msbreg_tf.evaluation.results.comparison import Column, compare, described
from msbreg_tf.evaluation.results.published import PUBLISHED, PublishedValue
from msbreg_tf.method.equality import weights_in_force
from msbreg_tf.run.sweep.grid import Point


class Spread(NamedTuple):
    """A mean over seeds.

    Attributes:
      mean: of the values.
      deviation: their standard deviation, over n − 1; None for one value.
      count: how many values.
    """

    mean: float
    deviation: Optional[float]
    count: int

    def __str__(self) -> str:
        if self.deviation is None:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ± {self.deviation:.2f}"


@dataclasses.dataclass(frozen=True)
class Row:
    """All seeds of one point.

    Attributes:
      label: its name in --points, or None.
      settings: {setting: value} that tell it from the other rows, without the seed; a weight that
        its method does not use is 0.
      seeds: how many were asked for.
      values: {heading: over the seeds that are measured, or None}.
      published: {heading: the paper's value, or None}.
      objective: (K, λ_s, λ_b) of the point.
    """

    label: Optional[str]
    settings: Mapping[str, Any]
    seeds: int
    values: Mapping[str, Optional[Spread]]
    published: Mapping[str, Optional[float]]
    objective: tuple[int, float, float]


@dataclasses.dataclass(frozen=True)
class SweepTable:
    """The rows of a sweep.

    Attributes:
      rows: in the order of the points.
      headings: of the measured columns; those with published values first.
      notes: what a reader must know, one sentence each.
    """

    rows: Sequence[Row]
    headings: Sequence[str]
    notes: Sequence[str]

    @property
    def published_headings(self) -> list[str]:
        """The columns with a published value in some row."""
        return [h for h in self.headings if any(row.published[h] is not None for row in self.rows)]


def sweep_table(
    points: Sequence[Point],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    paper_table: Optional[int] = None,
) -> SweepTable:
    """Puts the results of a sweep into rows: all seeds of a point are one.

    Args:
      points: of the sweep.
      results: {name of a point: lines of its results.jsonl}; several points may have the same.
      paper_table: the table whose published values stand beside: a row with a label has those of
        the row that the paper names so, another one those of its K, λ_s and λ_b.
    """
    comparison = compare([line for lines in results.values() for line in lines])
    columns = comparison.columns
    printed = [v for v in PUBLISHED if v.source == f"Table {paper_table}"]
    groups: dict[str, dict[int, Point]] = {}
    for point in points:
        others = {**point.config.settings(), "label": point.label, "seed": None}
        groups.setdefault(str(others), {}).setdefault(point.config.run.seed, point)
    shown = _told_apart(points)
    seeds = [list(group.values()) for group in groups.values()]
    rows = [_row(group, shown, columns, results, printed) for group in seeds]
    first = [c.heading for c in columns if any(r.published[c.heading] is not None for r in rows)]
    headings = [*first, *(c.heading for c in columns if c.heading not in first)]
    return SweepTable(rows, headings, _notes(comparison, printed if first else []))


def _row(
    group: Sequence[Point],
    shown: Sequence[str],
    columns: Sequence[Column],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    printed: Sequence[PublishedValue],
) -> Row:
    config = group[0].config
    objective = config.objective
    place = (objective.num_views, objective.lambda_s, objective.lambda_b)
    label = group[0].label
    values = {
        c.heading: _spread([_last(results.get(p.name, ()), c) for p in group]) for c in columns
    }
    beside = {c.heading: _published(c, label, place, printed) for c in columns}
    given = {**config.settings(), **weights_in_force(objective)}
    settings = {name: given[name] for name in shown}
    return Row(label, settings, len(group), values, beside, place)


def _told_apart(points: Sequence[Point]) -> list[str]:
    """Settings that some point varies and that are not the same in all."""
    names = list(dict.fromkeys(name for point in points for name in point.varied))
    values = [{**p.config.settings(), **weights_in_force(p.config.objective)} for p in points]
    return [name for name in names if len({str(v[name]) for v in values}) > 1] or names


def _last(lines: Sequence[Mapping[str, Any]], column: Column) -> Optional[float]:
    """The last value of a column among a run's results."""
    found = [
        line["value"]
        for line in lines
        if line["metric"] == column.metric and _set(line["protocol"]) == _set(column.protocol)
    ]
    return found[-1] if found else None


def _set(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not set, as columns are told apart."""
    return {name: value for name, value in protocol.items() if value is not None}


def _spread(values: Sequence[Optional[float]]) -> Optional[Spread]:
    known = [value for value in values if value is not None]
    if not known:
        return None
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return Spread(statistics.mean(known), deviation, len(known))


def _published(
    column: Column,
    label: Optional[str],
    place: tuple[int, float, float],
    printed: Sequence[PublishedValue],
) -> Optional[float]:
    for value in printed:
        same_row = value.method == label if value.settings is None else value.settings == place
        if same_row and (value.protocol, value.metric) == (column.protocol["name"], column.metric):
            return value.value
    return None


def _notes(comparison: Any, printed: Sequence[PublishedValue]) -> list[str]:
    notes = [f"Measured here by: {described(comparison.common)}."] if comparison.columns else []
    notes.append("Mean ± standard deviation over the seeds; one seed has no deviation.")
    notes += [
        f"[{column.heading}] {described(column.differing)}."
        for column in comparison.columns
        if column.differing and "[" in column.heading
    ]
    if printed:
        source, datasets = printed[0].source, sorted({value.dataset for value in printed})
        notes.append(
            f"published: printed in the paper's supplement, {source} ({', '.join(datasets)}, "
            "ResNet-18), not measured by these tools."
        )
    return notes
