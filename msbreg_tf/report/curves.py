"""Curves of all that runs log, and their spectra over time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msbreg_tf.evaluation.spectrum import effective_rank
from msbreg_tf.report.charts import (
    COLOURS,
    GREY,
    Chart,
    Table,
    axes,
    line,
    line_style,
    number,
)
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.report.series import (
    Series,
    interruptions,
    series_of,
    smoothed,
    spectra_over_time,
    thinned,
)

# What a reader sees first, and in which words; a name that is not here is shown after these, as is.
_WORDS = {
    "loss": ("Loss", "What training makes small: the sum of the terms with their weights."),
    "centroid": (
        "Centroid loss",
        "How far a view is from the centroid of the other views.",
    ),
    "singular_value": ("Singular value loss", "How unevenly the embeddings fill their dimensions."),
    "brownian": ("Brownian loss", "The random push that keeps pictures apart."),
    "uniformity": ("Uniformity loss", "How unevenly the embeddings lie on the sphere."),
    "same_picture": ("Views recognised", "Share of views whose nearest other is of their picture."),
    "effective_rank": (
        "Effective rank",
        "How many dimensions predictions of fixed views fill.",
    ),
    "std_spread": ("Spread", "How far predictions scatter; near 0 means that all are the same."),
    "learning_rate": ("Learning rate", "The warm-up, then a cosine."),
    "tau": ("τ of the target", "What share of itself the target network keeps in a step."),
    "gradient_norm": ("Gradient norm", "How long the gradient of a step is."),
    "images_per_second": ("Images per second", "How fast it trained, between logged steps."),
    "rankme": ("RankMe", "How many directions the features use, noise counted."),
    "lidar": ("LiDAR", "How many directions tell pictures apart, beyond what views differ in."),
    "alpha_req": (
        "α-ReQ",
        "How fast variance falls from direction to direction; near 1 is good.",
    ),
    "stable_rank": ("Stable rank", "Whether the variance is shared; 1 is all in one direction."),
    "intrinsic_dimension": (
        "Intrinsic dimension",
        "On a surface of how many dimensions the pictures lie.",
    ),
    "cluster_learnability": (
        "Cluster learnability",
        "Whether there are groups that neighbours agree on; 1 is the most.",
    ),
    "trust_ratio_min": ("Trust ratio, smallest", "What LARS multiplies a kernel's gradient by."),
    "trust_ratio_mean": ("Trust ratio, mean", "The same, over all kernels."),
    "trust_ratio_max": ("Trust ratio, largest", "The same, of the kernel that gets the most."),
}
_KNN = re.compile(r"knn(\d+)_top1")
_NAMED = 5  # runs in a chart's sentence
_EXACT = (  # measured now and then, or computed: shown as they are
    *("learning_rate", "tau", "same_picture", "effective_rank", "rankme", "lidar", "alpha_req"),
    *("stable_rank", "intrinsic_dimension", "cluster_learnability"),
)


def curve_charts(runs: Sequence[RunFiles]) -> list[Chart]:
    """A chart for each number that the runs log, all runs in it."""
    logged = [series_of(run) for run in runs]
    names = list(dict.fromkeys(name for series in logged for name in series))
    known = [name for name in names if _KNN.fullmatch(name)]
    ordered = [
        *(name for name in ("loss",) if name in names),
        *known,
        *(name for name in _WORDS if name in names and name != "loss"),
    ]
    ordered += [name for name in names if name not in ordered]
    marks = interruptions(runs[0]) if len(runs) == 1 else []
    steps = [mark.step for mark in marks]
    found = []
    for place, name in enumerate(ordered):
        present = [
            (place, run.name, series[name])
            for place, (run, series) in enumerate(zip(runs, logged))
            if name in series and len(series[name].finite.steps)
        ]
        if present:
            found.append(_chart(f"curve-{place}", name, present, steps))
    return found


def words_of(name: str) -> tuple[str, str]:
    """Title of a logged number, and what it is."""
    if match := _KNN.fullmatch(name):
        return f"{match[1]}-NN accuracy", "Share of held-out images that their neighbours classify."
    return _WORDS.get(name, (name.replace("_", " ").capitalize(), ""))


def _chart(key: str, name: str, present: list[tuple[int, str, Series]], marks: list[int]) -> Chart:
    title, meaning = words_of(name)
    share = 100 if _KNN.fullmatch(name) or name == "same_picture" else 1
    is_exact = share == 100 or name in _EXACT
    traces, rows = [], []
    for place, run, series in present:
        steps, values = series.steps, share * series.values
        traces += _traces(run, steps, values, place, is_exact)
        finite = values[np.isfinite(values)]
        gaps = len(values) - len(finite)
        rows.append(
            (run, *map(number, (finite[0], finite[-1], finite.min(), finite.max())), str(gaps))
        )
    layout = axes("step", "", shapes=_marks(marks), showlegend=False)
    unit = " %" if share == 100 else ""
    layout["yaxis"]["ticksuffix"] = unit
    first, last, least, most = (f"{text}{unit}" for text in rows[0][1:5])
    summary = f"{meaning} From {first} to {last}; smallest {least}, largest {most}."
    if len(rows) > 1:
        told = "; ".join(f"{row[0]} {row[2]}{unit}" for row in rows)
        if len(rows) > _NAMED:
            last = sorted(float(series.finite.values[-1]) * share for _, _, series in present)
            told = f"of {len(rows)} runs from {number(last[0])}{unit} to {number(last[-1])}{unit}"
        summary = f"{meaning} Last values: {told}."
    missing = sum(int(row[-1]) for row in rows)
    if missing:
        summary += f" {missing} of the logged values {'is' if missing == 1 else 'are'} not finite."
    columns = ("run", "first", "last", "smallest", "largest", "gaps")
    kind = "plain" if is_exact else "curve"
    return Chart(key, title, summary.strip(), tuple(traces), layout, Table(columns, tuple(rows)),
                 kind)  # fmt: skip


def _traces(
    name: str, steps: np.ndarray, values: np.ndarray, place: int, is_exact: bool
) -> list[dict[str, Any]]:
    shown = thinned(len(steps))
    if is_exact:
        mode = "lines+markers" if len(shown) <= 60 else "lines"
        meta = {"run": place, "show": "always"}
        return [line(name, steps[shown], values[shown], place, mode=mode, meta=meta)]
    smooth = smoothed(values)
    faint = {"width": 1, **line_style(place)}
    raw = line(f"{name}, raw", steps[shown], values[shown], place, line=faint, opacity=0.4)
    return [
        {**raw, "meta": {"run": place, "show": "raw"}},
        line(name, steps[shown], smooth[shown], place, meta={"run": place, "show": "smooth"}),
    ]


def _marks(steps: Sequence[int]) -> list[dict[str, Any]]:
    """Vertical lines where the run was interrupted."""
    style = {"color": GREY, "width": 1.5, "dash": "dot"}
    return [
        {"type": "line", "x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper", "line": style}
        for step in steps
    ]


def spectrum_over_time(run: RunFiles) -> list[Chart]:
    """Singular values of fixed views at some steps, from light to strong; none before an epoch."""
    steps, spectra = spectra_over_time(run, most=8)
    if len(steps) < 2:
        return []
    traces = []
    for place, (step, values) in enumerate(zip(steps, spectra)):
        shade = 0.25 + 0.75 * place / (len(steps) - 1)
        style = {"color": COLOURS[0], "width": 1.5 + shade}
        ranks = np.arange(1, len(values) + 1)
        trace = line(f"step {step:,}", ranks, values, 0, line=style, opacity=shade)
        traces.append(trace)
    layout = axes("rank", "", showlegend=True, height=320)
    layout["xaxis"].update(type="log", dtick="D2")
    layout["yaxis"]["rangemode"] = "tozero"
    # As it was logged: from the bins of a histogram it would come out too large.
    logged = {p.step: p.value for p in run.points.get("spectrum/effective_rank", [])}
    ranks = [number(logged.get(step)) for step in steps]
    summary = (
        "Singular values of the predictions of fixed views, largest first. A flat line uses all "
        f"dimensions alike. Effective rank {ranks[0]} at step {steps[0]:,}, {ranks[-1]} at step "
        f"{steps[-1]:,}."
    )
    rows = tuple(
        (f"{step:,}", number(values[0]), number(np.median(values)), rank)
        for step, values, rank in zip(steps, spectra, ranks)
    )
    columns = ("step", "largest", "median", "effective rank")
    return [
        Chart("spectrum-time", "Over time", summary, tuple(traces), layout, Table(columns, rows))
    ]


def spectrum_of_features(spectra: Mapping[str, np.ndarray]) -> Chart:
    """Spectra of exported features beside one another.

    Args:
      spectra: {name: centred singular values, largest first}; the trained encoder is the first.
    """
    traces, rows = [], []
    for place, (name, values) in enumerate(spectra.items()):
        style = {"width": 2.5, "color": COLOURS[0]} if place == 0 else {"width": 2, "color": GREY}
        ranks = np.arange(1, len(values) + 1)
        traces.append(line(name, ranks, values, place, line=style))
        rank = number(effective_rank(values))
        rows.append((name, number(values[0]), number(np.median(values)), rank))
    layout = axes("rank", "", showlegend=True, height=320)
    layout["xaxis"].update(type="log", dtick="D2")
    layout["yaxis"]["rangemode"] = "tozero"
    told = ", ".join(f"{row[3]} {row[0]}" for row in rows)
    columns = ("encoder", "largest", "median", "effective rank")
    told = f"Singular values of the unit features less their mean. Effective rank: {told}."
    return Chart("spectrum-features", "Of the exported features", told, tuple(traces),
                 layout, Table(columns, tuple(rows)))  # fmt: skip
