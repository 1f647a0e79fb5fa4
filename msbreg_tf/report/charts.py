"""Charts as Plotly takes them, each with a sentence and a table that say the same.

Colours of lines and points are fixed: they have a contrast of 3 or more to white and to the dark
background. Everything else is the theme's, and report.js sets it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

COLOURS = (
    *("#2f7fd8", "#d9660a", "#0d946a", "#d43d73", "#8a5cf0", "#8a7a00"),
    *("#0a8ea8", "#b4532d", "#b33ad0", "#5c8a1e", "#7a8290", "#e0453a"),
)
DASHES = ("solid", "dash", "dot", "dashdot")
GREY = "#8b929c"


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns and rows of plain values, as a reader sees them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
      key: its id in the page; letters, digits and dashes.
      title: of the chart.
      summary: what it shows, in a sentence; also what a screen reader says.
      traces: Plotly's.
      layout: Plotly's, without the theme.
      table: the same in numbers.
      kind: "curve" where values can be shown raw or smoothed, else "plain".
    """

    key: str
    title: str
    summary: str
    traces: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any]
    table: Optional[Table] = None
    kind: str = "plain"

    @property
    def spec(self) -> dict[str, Any]:
        """What report.js draws, as plain JSON values."""
        return jsonable({"kind": self.kind, "traces": self.traces, "layout": self.layout})


def line_style(place: int) -> dict[str, str]:
    """Colour and dash of the series at `place`: twelve colours, then again with other dashes."""
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    return {"color": COLOURS[place % len(COLOURS)], "dash": dash}


def line(name: str, x: Sequence, y: Sequence, place: int, **more: Any) -> dict[str, Any]:
    """A line; values that are not finite are gaps."""
    own = {"type": "scatter", "mode": "lines", "name": plain(name), "connectgaps": False}
    return {**own, "x": x, "y": y, "line": {"width": 2, **line_style(place)}, **more}


def plain(text: str) -> str:
    """A text that Plotly shows as it is: of its own accord it takes tags such as <b> for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(name: str, most: int = 24) -> str:
    """A name that fits beside a chart: a long one loses its middle."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def axes(x: str, y: str, **more: Any) -> dict[str, Any]:
    """A layout with titles on both axes."""
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, **more}


def number(value: Optional[float]) -> str:
    """A number as a person writes it: "−0.0123", "12,300", "–" where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if "e" in text and abs(value) >= 1e-4:
        text = f"{value:.6f}".rstrip("0")
    return text.replace("-", "−", 1) if value < 0 else text


def jsonable(value: Any) -> Any:
    """`value` as plain JSON values: arrays as lists, and None for what is not finite."""
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): jsonable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(each) for each in value]
    return value
