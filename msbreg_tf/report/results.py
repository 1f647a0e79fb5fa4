"""Evaluations in a report: results by protocol, published rows, and what classes are mistaken."""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from msbreg_tf.evaluation.results.comparison import Column, compare, described
from msbreg_tf.evaluation.results.published import PUBLISHED
from msbreg_tf.report.charts import Chart, Table, axes, line, number, plain, short
from msbreg_tf.report.run_files import RunFiles

_MOST_CLASSES = 30  # in a confusion matrix; more are a table of the worst
_LISTED = 20
_TITLES = {
    "geometry": "Shape of the features",
    "knn": "k-nearest neighbours",
    "linear": "Linear classifier",
    "finetune": "Fine-tuning",
    "svm": "Linear SVMs",
}


def results_tables(runs: Sequence[RunFiles], deciding: Sequence[str]) -> list[dict[str, Any]]:
    """A table for each protocol, with a column for each metric: {"title", "stamp", "table"}.

    The last has "notes", too.

    Args:
      runs: whose results.
      deciding: names of the settings that decide a run's result.
    """
    results = [result for run in runs for result in run.results]
    if not results:
        return []
    comparison = compare(results, PUBLISHED, deciding=deciding)
    groups: dict[str, list[Column]] = {}
    for column in comparison.columns:
        groups.setdefault(described(column.protocol), []).append(column)
    found = []
    for stamp, columns in groups.items():
        headings = [column.heading for column in columns]
        rows = [
            (str(row["run"]), *(_shown(row[heading], heading) for heading in headings))
            for row in comparison.rows
            if any(row[heading] is not None for heading in headings)
        ]
        table = Table(("run", *(column.metric for column in columns)), tuple(rows))
        if len(rows) == 1 and len(columns) > 3:
            [(run, *values)] = rows
            table = Table(("metric", run), tuple(zip(table.columns[1:], values)))
        first = columns[0]
        apart = first.heading.removeprefix(f"{first.protocol['name']} {first.metric}")
        title = _TITLES.get(first.protocol["name"], first.protocol["name"]) + apart
        if any(title == other["title"] for other in found):
            title += ": further measures"
        found.append({"title": title, "stamp": stamp, "table": table})
    found[-1]["notes"] = comparison.notes
    return found


def _shown(value: Optional[float], heading: str) -> str:
    is_share = value is not None and "%" in heading
    return f"{value:.1f}" if is_share else number(value)


def held_out(run: RunFiles) -> Optional[tuple[str, str]]:
    """How good a run is by its evaluations on held-out images: the answer, and its evidence.

    k-NN with the fewest neighbours or, without any, a linear classifier; the newest of each. None
    if there is neither.
    """
    newest = {
        (r["protocol"]["name"], r["protocol"].get("k", 0)): r
        for r in run.results
        if r["protocol"]["name"] in ("knn", "linear") and r["metric"] == "top-1 %" and r["value"]
    }
    if not newest:
        return None
    (name, k), first = min(newest.items(), key=lambda item: item[0])
    by = {"knn": f"their {k} nearest training images", "linear": "a linear classifier"}
    where = " ".join(first["protocol"].get(part, "") for part in ("dataset", "test_split"))
    why = f"Of held-out images ({where.strip()}), {first['value']:.1f} % are classified by "
    why += by[name]
    if name == "knn" and (linear := newest.get(("linear", 0))):
        why += f", and {linear['value']:.1f} % by {by['linear']}"
    return f"{first['value']:.1f} % {'k-NN' if name == 'knn' else 'linear'}", f"{why}."


def fine_tuning_chart(runs: Sequence[RunFiles]) -> list[Chart]:
    """Accuracy against the number of labelled images, if a run was fine-tuned by several."""
    traces, rows = [], []
    for place, run in enumerate(runs):
        points = sorted(
            (r["protocol"]["train_images"], r["value"])
            for r in run.results
            if r["protocol"]["name"] == "finetune" and r["metric"] == "top-1 %"
        )
        if points:
            counts, values = zip(*points)
            traces.append(line(run.name, counts, values, place, mode="lines+markers"))
            rows += [(run.name, f"{count:,}", number(value)) for count, value in points]
    if all(len(set(trace["x"])) < 2 for trace in traces):
        return []
    layout = axes("labelled images", "top-1 accuracy, %", showlegend=len(traces) > 1)
    layout["xaxis"].update(type="log", dtick="D2")
    told = "; ".join(f"{value} % from {count} images" for _, count, value in rows[:8])
    table = Table(("run", "labelled images", "top-1 %"), tuple(rows))
    return [Chart("fine-tuning", "Accuracy against labels", f"Fine-tuned: {told}.",
                  tuple(traces), layout, table)]  # fmt: skip


def confusion(labels: np.ndarray, voted: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """How often images of a class (row) are taken for another (column), int64 [C, C]."""
    counts = np.zeros([len(classes)] * 2, np.int64)
    np.add.at(counts, (labels, voted), 1)
    return counts


def confusion_charts(labels: np.ndarray, voted: np.ndarray, classes: Sequence[str]) -> list[Chart]:
    """The confusion matrix of few classes, or nothing."""
    if len(classes) > _MOST_CLASSES:
        return []
    counts = confusion(labels, voted, classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [plain(short(name)) for name in classes]
    trace = {
        "type": "heatmap",
        "z": 100 * share,
        "x": np.arange(len(names)),
        "y": np.arange(len(names)),
        "customdata": [[[a, b] for b in names] for a in names],
        "hovertemplate": "%{customdata[0]} taken for %{customdata[1]}: %{z:.1f} %<extra></extra>",
        "colorscale": "heat",
        "zmin": 0,
        "zmax": 100,
        "colorbar": {"title": {"text": "%"}, "thickness": 12},
    }
    layout = axes("taken for", "")
    ticks = {"tickvals": list(range(len(names))), "ticktext": names}
    layout["xaxis"].update(ticks, tickangle=-45)
    layout["yaxis"].update(ticks, autorange="reversed")
    layout["height"] = 140 + 22 * max(len(names), 10)
    listed = mistakes(counts, classes)
    told = "; ".join(f"{row[0]} for {row[1]} ({row[3]})" for row in listed.rows[:3])
    summary = f"Rows are true classes. Most often mistaken: {told}." if told else "No mistakes."
    return [Chart("confusion", "What is taken for what", summary, (trace,), layout, listed)]


def mistakes(counts: np.ndarray, classes: Sequence[str]) -> Table:
    """The pairs of classes that are mistaken most often, as a table."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    total = np.maximum(counts.sum(axis=1), 1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    rows = []
    for true, taken in zip(*np.unravel_index(order, wrong.shape)):
        if wrong[true, taken]:
            share = 100 * wrong[true, taken] / total[true]
            rows.append(
                (str(classes[true]), str(classes[taken]), str(wrong[true, taken]), f"{share:.1f} %")
            )
    return Table(("class", "taken for", "images", "share of the class"), tuple(rows))


def per_class(counts: np.ndarray, classes: Sequence[str]) -> Table:
    """Accuracy of each class, the worst first."""
    total = counts.sum(axis=1)
    present = np.flatnonzero(total)
    share = np.diag(counts)[present] / total[present]
    order = present[np.argsort(share, kind="stable")]
    rows = tuple(
        (str(classes[c]), f"{100 * counts[c, c] / total[c]:.1f} %", str(total[c])) for c in order
    )
    return Table(("class", "accuracy", "images"), rows)
