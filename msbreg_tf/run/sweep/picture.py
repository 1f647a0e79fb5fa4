"""The results of a sweep as a picture, by matplotlib (the extra `report`).

A grid over λ_s and λ_b becomes a heat map for each K, and the paper's own stands beside it in the
same colours; any other sweep becomes a bar for each row.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from msbreg_tf.errors import note
from msbreg_tf.files.whole import write_whole
from msbreg_tf.run.sweep.table import Row, SweepTable

if TYPE_CHECKING:
    import numpy as np

_COLOURS = "viridis"
_OURS, _PAPERS = "measured here", "published"
_LABELLED_FIRST = ("linear", "knn")
_MOST_BARS = 60


def draw(table: SweepTable, path: str) -> bool:
    """Writes a PNG of the table's first accuracy, or of its first column.

    Returns:
      Whether there is one: False without matplotlib, and for more rows than can be read.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        note("no picture is drawn: pip install 'msbreg-tf[report]' brings matplotlib.")
        return False
    heading = _heading(table)
    if is_map(table.rows):
        figure = _maps(Figure, table, heading)
    elif len(table.rows) <= _MOST_BARS:
        figure = _bars(Figure, table, heading)
    else:
        note(f"no picture is drawn: {len(table.rows)} rows are too many for bars.")
        return False
    canvas = FigureCanvasAgg(figure)
    write_whole(path, lambda file: canvas.print_png(file))
    return True


def is_map(rows: Sequence[Row]) -> bool:
    """Whether rows are a grid over λ_s and λ_b, for one K or several, and over nothing else."""
    others = {name for row in rows for name in row.settings}
    if others - {"num_views", "lambda_s", "lambda_b"} or any(row.label for row in rows):
        return False
    _, across, down = (sorted({row.objective[i] for row in rows}) for i in range(3))
    return len(across) > 1 and len(down) > 1 and len({r.objective for r in rows}) == len(rows)


def grid_of(rows: Sequence[Row], views: int, heading: str, published: bool) -> "np.ndarray":
    """Values of one K, float [λ_s, λ_b], both rising; NaN where there is none."""
    import numpy as np

    _, scales, noises = (sorted({row.objective[i] for row in rows}) for i in range(3))
    values = np.full([len(scales), len(noises)], np.nan)
    for row in rows:
        k, scale, noise = row.objective
        found = row.published[heading] if published else row.values[heading]
        if k == views and found is not None:
            values[scales.index(scale), noises.index(noise)] = found if published else found.mean
    return values


def _heading(table: SweepTable) -> str:
    for name in _LABELLED_FIRST:
        for heading in table.headings:
            if heading.startswith(f"{name} top-1"):
                return heading
    return table.headings[0]


def _maps(figure_class: Any, table: SweepTable, heading: str) -> Any:
    """A heat map for each K; above ours, below the paper's."""
    rows = table.rows
    views = sorted({row.objective[0] for row in rows})
    sources = [_OURS, *([_PAPERS] if heading in table.published_headings else [])]
    size = (1.2 + 3.4 * len(views), 0.6 + 2.9 * len(sources))
    figure = figure_class(figsize=size, dpi=120, layout="constrained")
    axes = figure.subplots(len(sources), len(views), squeeze=False)
    maps = [[grid_of(rows, k, heading, source == _PAPERS) for k in views] for source in sources]
    for source, own, limits, line in zip(sources, maps, ranges(maps), axes):
        image = None
        for k, values, ax in zip(views, own, line):
            image = _map(ax, rows, values, *limits)
            ax.set_title(f"K = {k}, {source}", fontsize=9)
        figure.colorbar(image, ax=list(line), label=heading, shrink=0.9)
    return figure


def _map(ax: Any, rows: Sequence[Row], values: "np.ndarray", low: float, high: float) -> Any:
    """One heat map, with its numbers."""
    import numpy as np

    _, scales, noises = (sorted({row.objective[i] for row in rows}) for i in range(3))
    image = ax.imshow(values, cmap=_COLOURS, vmin=low, vmax=high, origin="lower", aspect="auto")
    for (down, across), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > (low + high) / 2 else "white"
            text = f"{value:.1f}"
            ax.text(across, down, text, ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(noises)), [f"{value:g}" for value in noises])
    ax.set_yticks(range(len(scales)), [f"{value:g}" for value in scales])
    ax.set_xlabel("λ_b")
    ax.set_ylabel("λ_s")
    return image


def ranges(maps: Sequence[Sequence["np.ndarray"]]) -> list[tuple[float, float]]:
    """Smallest and largest value of each source, for its colours; one for all if they overlap."""
    import numpy as np

    found = []
    for each in maps:
        values = np.concatenate([grid[np.isfinite(grid)] for grid in each])
        found.append((float(values.min()), float(values.max())) if len(values) else (0.0, 1.0))
    lows, highs = zip(*found)
    return [(min(lows), max(highs))] * len(found) if max(lows) <= min(highs) else found


def _bars(figure_class: Any, table: SweepTable, heading: str) -> Any:
    """A bar for each row, the first above, with its deviation and the published value."""
    figure = figure_class(figsize=(7, 1 + 0.34 * len(table.rows)), dpi=120, layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(table.rows):
        found = row.values[heading]
        if found is not None:
            ax.barh(place, found.mean, xerr=found.deviation or 0, color="tab:blue", height=0.6)
        if row.published[heading] is not None:
            ax.plot(row.published[heading], place, "D", color="tab:orange", markersize=6)
    ax.set_yticks(range(len(table.rows)), [_name(row) for row in table.rows], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel(f"{heading}: bars {_OURS}{_diamonds(table, heading)}")
    return figure


def _diamonds(table: SweepTable, heading: str) -> str:
    return f", diamonds {_PAPERS}" if heading in table.published_headings else ""


def _name(row: Row) -> Optional[str]:
    return row.label or ", ".join(f"{name} {value}" for name, value in row.settings.items())
