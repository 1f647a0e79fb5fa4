"""Results of several runs side by side: a column holds values of one protocol, never of two."""

import dataclasses
import json
import re
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

from msbreg_tf.evaluation.results.published import PublishedValue

_LONGEST_IN_HEADING = 24  # characters
_SEED_IN_NAME = re.compile(r"(?:^|[^A-Za-z0-9])seed[^A-Za-z0-9]?\d+|@\d+$")
_SETTINGS = ("num_views", "lambda_s", "lambda_b")


@dataclasses.dataclass(frozen=True)
class Column:
    """One metric by one protocol.

    Attributes:
      heading: protocol, metric, and what tells it from columns that have these in common.
      metric: "top-1 %".
      protocol: as in results.jsonl.
      differing: those settings of the protocol that are not the same in all columns.
    """

    heading: str
    metric: str
    protocol: Mapping[str, Any]
    differing: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
      columns: in the order in which their protocols first appear.
      rows: {"run": name, heading: value or None}, ours first, then those that are published.
      common: settings that are the same in all columns.
      notes: what a reader must know besides, one sentence each.
    """

    columns: list[Column]
    rows: list[dict[str, Any]]
    common: dict[str, Any]
    notes: list[str]


def compare(
    results: Sequence[Mapping[str, Any]],
    published: Sequence[PublishedValue] = (),
    over_seeds: bool = False,
    deciding: Collection[str] = (),
) -> Comparison:
    """Puts runs in rows and protocols in columns.

    Two values share a column only if metric and protocol are equal in everything. Of repeated
    measurements the last in `results` counts, and a note tells if they differ.

    Args:
      results: lines of results files.
      published: values of the paper, each shown in the columns of its protocol, data set and
        metric, if these are of a whole test split.
      over_seeds: one row for all runs whose settings differ in nothing but the seed, with mean and
        standard deviation as text, "45.30 ± 1.92".
      deciding: names of the settings that decide a run's result, the seed among them; needed for
        `over_seeds`.
    """
    first = {}
    for result in results:
        first.setdefault(_key(result), result)
    columns = _columns(list(first.values()))
    headings = dict(zip(first, (column.heading for column in columns)))
    ours, notes = _measured_rows(results, headings)
    if over_seeds:
        ours = _over_seeds(ours, results, set(deciding) - {"seed"})
    printed = _published_rows(columns, published, {_settings(result) for result in results})
    if printed:
        notes.append(
            "published: printed in the paper's supplement (ResNet-18; Table 2: ResNet-50), not "
            "measured by these tools."
        )
    unlike = set().union(*(column.differing for column in columns))
    # A protocol may lack what another one leaves open (None), which is not unlike either.
    protocols = [column.protocol for column in columns]
    common = {
        name: value
        for name, value in (protocols[0] if protocols else {}).items()
        if name not in unlike and all(name in protocol for protocol in protocols)
    }
    return Comparison(columns, ours + printed, common, notes)


def difference(columns: Sequence[Column]) -> str:
    """What is unlike in protocols, as words: "k is 20 or 200; augmentation hue is 0 or not set"."""
    return "; ".join(_unlike([column.protocol for column in columns]))


def described(settings: Mapping[str, Any]) -> str:
    """Settings in one line: "k=20; temperature=0.07"."""
    return "; ".join(f"{name}={_shown(value)}" for name, value in settings.items())


def _columns(results: Sequence[Mapping[str, Any]]) -> list[Column]:
    """One column for each result; they differ in metric or protocol."""
    unlike = _differing_names([result["protocol"] for result in results])
    titles = [f"{result['protocol']['name']} {result['metric']}" for result in results]
    columns, numbered = [], dict.fromkeys(titles, 0)
    for result, title in zip(results, titles):
        protocol = result["protocol"]
        alike = [other["protocol"] for other, its in zip(results, titles) if its == title]
        apart = described({name: protocol.get(name) for name in _differing_names(alike)})
        if len(apart) > _LONGEST_IN_HEADING:
            numbered[title] += 1
            apart = f"[{numbered[title]}]"
        differing = {name: protocol[name] for name in unlike if name in protocol}
        columns.append(Column(f"{title} {apart}".strip(), result["metric"], protocol, differing))
    return columns


def _measured_rows(
    results: Sequence[Mapping[str, Any]], headings: Mapping[tuple[str, str], str]
) -> tuple[list[dict[str, Any]], list[str]]:
    measured: dict[tuple, dict[str, list]] = {}
    for result in results:
        values = measured.setdefault(_row(result), {heading: [] for heading in headings.values()})
        values[headings[_key(result)]].append(result["value"])
    names = _row_names(list(measured))
    rows, notes = [], []
    for row, values in measured.items():
        last = {heading: found[-1] if found else None for heading, found in values.items()}
        rows.append({"run": names[row], **last})
        notes += [
            f"{names[row]}, {heading}: measured {len(found)} times with different values; the last "
            "is shown."
            for heading, found in values.items()
            if len(set(found)) > 1
        ]
    return rows, notes


def _over_seeds(
    rows: Sequence[dict[str, Any]], results: Sequence[Mapping[str, Any]], deciding: Collection[str]
) -> list[dict[str, Any]]:
    """One row for all runs with equal deciding settings; a run without settings stays alone."""
    names = _row_names(list(dict.fromkeys(_row(result) for result in results)))
    groups_of = {names[_row(result)]: _deciding_values(result, deciding) for result in results}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(groups_of[row["run"]] or row["run"], []).append(row)
    return [_mean_row(group) for group in groups.values()]


def _mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(rows) == 1:
        return rows[0]
    mean = {"run": f"{_without_seed(rows[0]['run'])}, {len(rows)} seeds"}
    for heading in rows[0].keys() - {"run"}:
        values = [row[heading] for row in rows if row[heading] is not None]
        if len(values) == len(rows):
            mean[heading] = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
        else:
            mean[heading] = f"{len(values)} of {len(rows)} measured" if values else None
    return {heading: mean[heading] for heading in rows[0]}


def _without_seed(name: str) -> str:
    """'byol-seed0-long@228' → 'byol-long': a run's name without its seed and its step."""
    return _SEED_IN_NAME.sub("", name) or name


def _deciding_values(result: Mapping[str, Any], deciding: Collection[str]) -> Optional[str]:
    """The run's settings of these names, as text; None if none is known."""
    recipe = (result.get("export") or {}).get("recipe") or {}
    known = {name: value for name, value in recipe.items() if name in deciding}
    return json.dumps(known, sort_keys=True) if known else None


def _published_rows(
    columns: Sequence[Column],
    published: Sequence[PublishedValue],
    settings: set[Optional[tuple]],
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for value in published:
        if value.settings is not None and value.settings not in settings:
            continue
        for column in columns:
            protocol = column.protocol
            same = (protocol["name"], protocol.get("dataset"), column.metric) == (
                value.protocol,
                value.dataset,
                value.metric,
            )
            whole = "[" not in str(protocol.get("test_split", ""))
            if same and whole:
                name = f"published: {value.method} ({value.source})"
                empty = {"run": name} | {c.heading: None for c in columns}
                rows.setdefault(name, empty)[column.heading] = value.value
    return list(rows.values())


def _key(result: Mapping[str, Any]) -> tuple[str, str]:
    settings = {name: value for name, value in result["protocol"].items() if value is not None}
    return result["metric"], json.dumps(settings, sort_keys=True)


def _row(result: Mapping[str, Any]) -> tuple[str, Optional[str]]:
    return result["run"], (result.get("export") or {}).get("fingerprint")


def _row_names(rows: Sequence[tuple[str, Optional[str]]]) -> dict[tuple, str]:
    """The run's name, with the start of the fingerprint where two runs have the same."""
    names = [name for name, _ in rows]
    return {
        row: row[0] if names.count(row[0]) == 1 else f"{row[0]} ({(row[1] or 'no export')[:9]})"
        for row in rows
    }


def _settings(result: Mapping[str, Any]) -> Optional[tuple]:
    recipe = (result.get("export") or {}).get("recipe") or {}
    if recipe.get("method") != "msbreg":
        return None
    return tuple(recipe.get(name) for name in _SETTINGS)


def _differing_names(protocols: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for protocol in protocols for name in protocol)
    return [
        name
        for name in names
        if len({json.dumps(p.get(name), sort_keys=True) for p in protocols}) > 1
    ]


def _unlike(settings: Sequence[Mapping[str, Any]], prefix: str = "") -> list[str]:
    """What differs, also within settings that are mappings themselves."""
    parts = []
    for name in _differing_names(settings):
        values = [each.get(name) for each in settings]
        if all(isinstance(value, Mapping) for value in values):
            parts += _unlike(values, f"{prefix}{name} ")
        else:
            shown = dict.fromkeys(_shown(value) for value in values)
            parts.append(f"{prefix}{name} is {' or '.join(shown)}")
    return parts


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, float) else str(value)
