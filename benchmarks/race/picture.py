"""Accuracy against time, by matplotlib (the extra `report`): each point is a whole run."""

from collections.abc import Sequence
from typing import Any

from benchmarks.race.contenders import UNTRAINED
from benchmarks.race.table import SCORES, Run, spread
from msbreg_tf.errors import note
from msbreg_tf.files.whole import write_whole

_COLOURS = ("tab:red", "tab:blue", "tab:green", "tab:purple", "tab:orange", "tab:brown")
_MORE = ("tab:cyan", "tab:olive", "tab:pink", "black")


def draw(runs: Sequence[Run], path: str) -> bool:
    """Writes a PNG with 20-NN and linear accuracy side by side.

    Filled points are runs at equal compute and shorter ones, hollow ones runs at equal time; bars
    are standard deviations over seeds.

    Returns:
      Whether there is one: False without matplotlib, or without runs.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        note("no picture is drawn: pip install 'msbreg-tf[report]' brings matplotlib.")
        return False
    trained = [r for r in runs if r.stage != "search" and "seconds" in r.result]
    if not trained:
        return False
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    for ax, name in zip(figure.subplots(1, len(SCORES)), SCORES):
        _axis(ax, trained, name)
        still = [r.result["scores"][name] for r in runs if r.contender == UNTRAINED]
        if still:
            level = spread(still).mean
            ax.axhline(level, color="grey", linestyle=":", label=UNTRAINED)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    write_whole(path, lambda file: canvas.print_png(file))
    return True


def points_of(runs: Sequence[Run], name: str) -> list[tuple[str, float, float, float, bool]]:
    """(contender, seconds, accuracy, deviation, at equal time), by time.

    Runs that differ only in their seed are one point.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.contender, run.stage, run.length), []).append(run)
    found = []
    for (contender, stage, _), group in groups.items():
        accuracy = spread([run.result["scores"][name] for run in group])
        seconds = spread([run.result["seconds"] for run in group])
        deviation = accuracy.deviation or 0.0
        found.append((contender, seconds.mean, accuracy.mean, deviation, stage == "seconds"))
    return sorted(found, key=lambda point: point[1])


def _axis(ax: Any, runs: Sequence[Run], name: str) -> None:
    titles = {run.contender: run.title for run in runs}
    colours = dict(zip(titles, (*_COLOURS, *_MORE) * len(titles)))
    for contender, title in titles.items():
        points = [p for p in points_of(runs, name) if p[0] == contender]
        colour = colours[contender]
        _, seconds, accuracy, _, _ = zip(*points)
        ax.plot(seconds, accuracy, color=colour, linewidth=1, label=title)
        for _, x, y, deviation, at_time in points:
            filled = "white" if at_time else colour
            ax.errorbar(
                x, y, deviation, fmt="o", color=colour, markerfacecolor=filled, markersize=5
            )
    from matplotlib import ticker

    clocks = {run.result["clock"] for run in runs}
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xlabel(f"{' or '.join(sorted(clocks))} seconds of training and augmentation")
    ax.set_ylabel(f"{name}, top-1 %")
    ax.grid(alpha=0.3)
