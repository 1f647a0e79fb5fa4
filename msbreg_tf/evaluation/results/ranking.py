"""Which encoder is the best by one metric, and how far the label-free metrics agree with labels."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from msbreg_tf.evaluation.clid import clid
from msbreg_tf.evaluation.quality import better
from msbreg_tf.evaluation.results.comparison import Column, Comparison, compare, difference

_LABEL_FREE = "geometry"  # the protocol whose metrics need no labels
_CLID = "CLID"
_CLID_PARTS = ("cluster learnability", "intrinsic dimension")
_FEWEST = 3  # encoders that have an order to speak of


class RankCorrelation(NamedTuple):
    """How alike a label-free metric and an accuracy put the same encoders in order.

    Attributes:
      measure: the label-free metric's heading, as in `tools.compare`.
      accuracy: the other one's.
      n: encoders that have both.
      spearman: −1 to 1; 1 if the measure orders the encoders as the accuracy does. None if there
        are fewer than three, or if all of them are level.
    """

    measure: str
    accuracy: str
    n: int
    spearman: Optional[float]


def rank_correlations(results: Sequence[Mapping[str, Any]]) -> list[RankCorrelation]:
    """Spearman's rank correlation of every label-free metric with every accuracy, over encoders.

    Label-free are the metrics of `tools.geometry`, each read as its paper does (`quality.better`:
    α-ReQ by its distance from 1, alignment and uniformity by their negatives), and CLID, which is
    computed here because it standardises over the encoders. Whatever other protocols have measured
    counts as an accuracy, of which more is better.

    Args:
      results: lines of results files, of as many runs as there are; see `log.read_results`. Of
        repeated measurements the last counts. Values of unlike protocols are never mixed.

    Returns:
      One row for each pair, in the order of the results; empty without either kind.
    """
    comparison = with_clid(compare(results))
    free, others = [], []
    for column in comparison.columns:
        (free if column.protocol["name"] == _LABEL_FREE else others).append(column)
    found = []
    for measure in free:
        for accuracy in others:
            pairs = _pairs(comparison.rows, measure, accuracy)
            found.append(
                RankCorrelation(measure.heading, accuracy.heading, len(pairs), spearman(pairs))
            )
    return found


def _pairs(
    rows: Sequence[Mapping[str, Any]], measure: Column, accuracy: Column
) -> list[tuple[float, float]]:
    """Both values of the rows that have both, of each of which more is better."""
    both = [(number(row.get(measure.heading)), number(row.get(accuracy.heading))) for row in rows]
    return [(better(measure.metric, own), other) for own, other in both if None not in (own, other)]


def correlation_rows(found: Sequence[RankCorrelation]) -> list[dict[str, Any]]:
    """A table for `text.table`: a row for each measure, a column for each accuracy."""
    rows: dict[str, dict[str, Any]] = {}
    for each in found:
        rho = "–" if each.spearman is None else f"{each.spearman:+.2f}"
        row = rows.setdefault(each.measure, {"rank correlation of": each.measure})
        row[f"with {each.accuracy}"] = f"{rho} (n = {each.n})"
    return list(rows.values())


def ranked(comparison: Comparison, metric: str) -> Comparison:
    """The same comparison with the best encoder first; rows without a value keep their order below.

    Args:
      comparison: what `compare` found.
      metric: name of a column's metric, or its whole heading; capitals and signs do not matter, so
        that 'lidar' is LiDAR. 'clid' is computed from its two parts.

    Raises:
      ValueError: no column of this metric, or several by unlike protocols.
    """
    if _plain(metric) == _plain(_CLID):
        comparison = with_clid(comparison)
    columns = [
        column
        for column in comparison.columns
        if _plain(metric) in (_plain(column.metric), _plain(column.heading))
    ]
    if not columns:
        names = ", ".join(dict.fromkeys(column.metric for column in comparison.columns))
        raise ValueError(f"--rank_by={metric}: not measured. There are: {names}.")
    if len(columns) > 1:
        raise ValueError(
            f"--rank_by={metric}: measured by {len(columns)} unlike protocols: "
            f"{difference(columns)}. Choose one with --where, such as --where=NAME=VALUE."
        )
    (column,) = columns
    with_value = [row for row in comparison.rows if number(row.get(column.heading)) is not None]
    others = [row for row in comparison.rows if row not in with_value]
    with_value.sort(key=lambda row: -better(column.metric, number(row[column.heading])))
    return dataclasses.replace(comparison, rows=with_value + others)


def with_clid(comparison: Comparison) -> Comparison:
    """The same with a column CLID beside each pair of its parts that one protocol has measured."""
    added, rows = [], [dict(row) for row in comparison.rows]
    for first in comparison.columns:
        for second in comparison.columns:
            names = (first.metric, second.metric)
            if names != _CLID_PARTS or first.protocol != second.protocol:
                continue
            heading = first.heading.replace(first.metric, _CLID)
            added.append(Column(heading, _CLID, first.protocol, first.differing))
            parts = [[number(row.get(c.heading)) for c in (first, second)] for row in rows]
            known = [None not in values for values in parts]
            values = iter(clid(*np.transpose([v for v, k in zip(parts, known) if k] or [[], []])))
            for row, is_known in zip(rows, known):
                row[heading] = float(next(values)) if is_known else None
    return dataclasses.replace(comparison, columns=[*comparison.columns, *added], rows=rows)


def spearman(pairs: Sequence[tuple[float, float]]) -> Optional[float]:
    """Pearson's correlation of the ranks, those of equal values averaged; None if there is none."""
    if len(pairs) < _FEWEST:
        return None
    first, second = (_ranks(np.asarray(values, np.float64)) for values in zip(*pairs))
    if not (first.std() and second.std()):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def number(cell: Any) -> Optional[float]:
    """A cell's value, of "45.30 ± 1.92" the mean; None if there is none, or it is not finite."""
    if isinstance(cell, str):
        mean, sign, _ = cell.partition(" ± ")
        cell = float(mean) if sign else None
    return cell if cell is not None and math.isfinite(cell) else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last of equal values, from 1
    return (last - (counts - 1) / 2)[inverse]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
