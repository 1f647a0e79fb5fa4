"""From the text of a grid to runs: parsing, checking, naming. Nothing here imports TensorFlow.

--grid="lambda_s=0,0.002;num_views=2,4"       every combination
--points="BYOL: method=byol,num_views=2;      a row each, with a name of its own before a colon,
          method=msbreg,num_views=4"          or without one
"""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from msbreg_tf.run.config import PARTS, Config, config_from_settings
from msbreg_tf.settings import flagged, parse, written

_FIELDS = {flag: field for part in PARTS for flag, field in flagged(part)}
_NOT_VARIED = {
    "workdir": "every point has a folder of its own in --workdir",
    "seed": "use --seeds=0,1,2",
}
_SPELLED = {"λ": "lambda_", "τ": "tau_", "η": "eta_", "β": "beta_"}


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: of its folder, unique in the sweep.
      label: of its row in a table, the same for all seeds; None for a point of a grid.
      varied: {setting: value} that the grid or its row sets.
      config: all settings, without the workdir.
    """

    name: str
    label: Optional[str]
    varied: Mapping[str, Any]
    config: Config


class _Row(NamedTuple):
    label: Optional[str]
    texts: Mapping[str, str]


def points_of(base: Config, grid: str, rows: str, seeds: Sequence[int]) -> list[Point]:
    """The runs that a grid and named rows give: all rows × all combinations × all seeds.

    Args:
      base: settings that all points share.
      grid: `name=value,value;name=value`; empty for none.
      rows: `label: name=value,name=value;…`; empty for none.
      seeds: of the runs. All points of the first seed come first.

    Raises:
      ValueError: a text that can't be read, an unknown setting, a value that breaks a rule, or two
        points of the same name; names the flag.
    """
    combinations = _combinations(grid)
    named = _rows(rows) if rows.strip() else [_Row(None, {})]
    found: dict[str, Point] = {}
    for seed, row, texts in itertools.product(seeds, named, combinations):
        if both := sorted(row.texts.keys() & texts.keys()):
            raise ValueError(f"--points sets {both[0]}, and so does --grid. Leave one of them out.")
        point = _point(base, row, {**row.texts, **texts}, texts, seed)
        if found.get(point.name, point).config != point.config:
            raise ValueError(
                f"--grid and --points name {point.name} twice. Give rows of --points names of "
                "their own, as 'name: setting=value'."
            )
        found.setdefault(point.name, point)
    return list(found.values())


def named_settings(flag: str, text: str) -> list[tuple[Optional[str], dict[str, str]]]:
    """Reads `name: setting=value,setting=value; …`, where the names may be missing.

    A part without an equals sign belongs to the value before it, so lists may have commas.

    Args:
      flag: whose value it is, for messages.
      text: the value.

    Raises:
      ValueError: an entry is no list of setting=value; names the flag.
    """
    entries = []
    for entry in filter(None, map(str.strip, text.split(";"))):
        name, colon, rest = entry.partition(": ")
        if not colon:
            name, rest = (entry[:-1], "") if entry.endswith(":") else ("", entry)
        settings: dict[str, str] = {}
        last = None
        for part in filter(None, map(str.strip, rest.split(","))):
            key, equals, value = (each.strip() for each in part.partition("="))
            if equals and key:
                if key in settings:
                    raise ValueError(f"--{flag}: '{entry}' sets {key} twice.")
                settings[key], last = value, key
            elif last is None:
                raise ValueError(
                    f"--{flag}: '{entry}': expected setting=value,setting=value, with a name and a "
                    "colon before it or without, and semicolons between."
                )
            else:
                settings[last] += f",{part}"
        entries.append((" ".join(name.split()) or None, settings))
    return entries


def _combinations(grid: str) -> list[dict[str, str]]:
    """Every combination of a grid, the last setting changing fastest."""
    axes: dict[str, list[str]] = {}
    for axis in filter(None, map(str.strip, grid.split(";"))):
        name, equals, values = (part.strip() for part in axis.partition("="))
        if not (name and equals and values):
            raise ValueError(
                f"--grid: '{axis}': expected setting=value,value with semicolons between settings, "
                'such as --grid="lambda_s=0,0.004;num_views=2,4".'
            )
        if name in axes:
            raise ValueError(f"--grid names {name} twice.")
        axes[name] = list(dict.fromkeys(value.strip() for value in values.split(",")))
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def _rows(text: str) -> list[_Row]:
    rows = [_Row(*entry) for entry in named_settings("points", text)]
    labels = [row.label for row in rows if row.label]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"--points has two rows named '{label}'. Give each its own name.")
    return rows


def _point(
    base: Config, row: _Row, texts: Mapping[str, str], in_name: Mapping[str, str], seed: int
) -> Point:
    varied = {_field(name).name: _value(name, text) for name, text in texts.items()}
    settings = {**base.settings(), **varied, "seed": seed, "workdir": None}
    try:
        config = config_from_settings(settings)
    except ValueError as error:
        if not texts:
            raise
        where = ", ".join(f"{name}={text}" for name, text in texts.items())
        raise ValueError(f"{error} (the point {row.label or where})") from error
    shown = {_field(name).name for name in (in_name if row.label else texts)}
    parts = [row.label] if row.label else []
    parts += [f"{name}={_written(varied[name])}" for name in varied if name in shown]
    name = _folder_name([*parts, f"seed={seed}"])
    return Point(name, row.label, varied, config)


def _field(name: str) -> dataclasses.Field:
    if name in _NOT_VARIED:
        raise ValueError(f"--grid and --points can't vary {name}: {_NOT_VARIED[name]}.")
    if name not in _FIELDS:
        close = difflib.get_close_matches(name, _FIELDS, n=2)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(
            f"--grid and --points: there is no setting --{name}: expected flags of training.{hint}"
        )
    return _FIELDS[name]


def _value(name: str, text: str) -> Any:
    """The value that a flag of training would have; the same errors."""
    field = _field(name)
    try:
        return parse(field, text)
    except ValueError as error:
        raise ValueError(f"--{name}={text}: {error}") from None


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else written(value)


def _folder_name(parts: Iterable[str]) -> str:
    """Parts as the name of a folder that needs no quoting: 'num_views=2-lambda_s=0.004-seed=0'."""
    text = "-".join(parts)
    for letter, spelled in _SPELLED.items():
        text = text.replace(letter, spelled)
    text = re.sub(r"[^A-Za-z0-9.+_=-]+", "-", text.replace("__", "_"))
    return re.sub(r"-?\+-?", "+", re.sub(r"-{2,}", "-", text)).strip("-.")[:200]
