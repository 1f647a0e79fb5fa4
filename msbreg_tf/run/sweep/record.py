"""`sweep.json`: the points of a sweep, which of them are one run, and what is measured of each.

Nothing here imports TensorFlow.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from msbreg_tf.errors import differences, first_of
from msbreg_tf.files.lock import Lock
from msbreg_tf.files.whole import fingerprint_of_json, write_text_whole
from msbreg_tf.method.equality import canonical
from msbreg_tf.run.config import Config, config_from_settings
from msbreg_tf.run.sweep.grid import Point

NAME = "sweep.json"
_SHOWN = 6  # differences in a message
Evaluations = Mapping[str, Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is to be done, as recorded in its folder.

    Attributes:
      workdir: the folder, absolute.
      points: {name: point} in the order in which they were asked for.
      run_of: {name of a point: name of the point that is run for it}; most are run for themselves.
      evaluations: {protocol: {flag: text}} that every run is measured by.
      paper_table: number of the table of the paper to stand beside the results, or None.
    """

    workdir: str
    points: Mapping[str, Point]
    run_of: Mapping[str, str]
    evaluations: Evaluations
    paper_table: Optional[int]

    @property
    def runs(self) -> list[str]:
        """The points that are run, each once."""
        return list(dict.fromkeys(self.run_of.values()))

    def folder(self, name: str) -> str:
        """Of a point's run."""
        return os.path.join(self.workdir, name)


def exists(workdir: str) -> bool:
    """Whether a folder holds a sweep."""
    return os.path.exists(os.path.join(workdir, NAME))


def read(workdir: str) -> Sweep:
    """The sweep of a folder.

    Raises:
      ValueError: there is none, or its record can't be read.
    """
    return _sweep(workdir, _content(workdir))


def extend(
    workdir: str,
    base: Config,
    points: Sequence[Point],
    evaluations: Evaluations,
    paper_table: Optional[int],
) -> Sweep:
    """Records points beside those that are there, and says which of all are one run.

    Settings that don't decide a result (paths, devices) are taken from `base` for all points.

    Args:
      workdir: folder of the sweep, which is made.
      base: settings that the new points share.
      points: the new ones and, as often, those that are there already.
      evaluations: replaces what was measured before.
      paper_table: likewise.

    Returns:
      The sweep with all points.

    Raises:
      ValueError: a point differs from the recorded one of its name, or settings that are not
        varied differ from the recorded ones.
      RunFailedError: the folder can't be locked or written.
    """
    os.makedirs(workdir, exist_ok=True)
    with _locked(workdir):
        content = _content(workdir) if exists(workdir) else {"points": []}
        recorded = {entry["name"]: entry for entry in content["points"]}
        entries = {point.name: _entry(point, base) for point in points}
        _refuse_others(workdir, recorded, entries, base)
        content = {
            "place": _place(base),
            "evaluations": {name: dict(flags) for name, flags in evaluations.items()},
            "paper_table": paper_table,
            "points": [*recorded.values(), *(e for n, e in entries.items() if n not in recorded)],
        }
        write_text_whole(os.path.join(workdir, NAME), json.dumps(content, indent=1))
    return _sweep(workdir, json.loads(json.dumps(content)))


def shared_settings(workdir: str) -> list[dict[str, Any]]:
    """The settings that decide a result of every recorded point, without those that it varies."""
    entries = _content(workdir)["points"]
    varied = {name for entry in entries for name in entry["varied"]} | {"seed"}
    return [{k: v for k, v in e["settings"].items() if k not in varied} for e in entries]


def _entry(point: Point, base: Config) -> dict[str, Any]:
    """A point as JSON values: all that decides its result."""
    values = point.config.settings()
    deciding = point.config.result_settings() | {name: values[name] for name in point.varied}
    settings = json.loads(json.dumps(deciding))
    varied = list(point.varied)
    return {"name": point.name, "label": point.label, "varied": varied, "settings": settings}


def _place(base: Config) -> dict[str, Any]:
    """The settings that decide no result."""
    deciding = base.result_settings()
    others = {k: v for k, v in base.settings().items() if k not in deciding}
    return {**others, "workdir": None}


def _sweep(workdir: str, content: Mapping[str, Any]) -> Sweep:
    points, first, run_of = {}, {}, {}
    for entry in content["points"]:
        config = config_from_settings({**content["place"], **entry["settings"]})
        varied = {name: entry["settings"][name] for name in entry["varied"]}
        point = Point(entry["name"], entry["label"], varied, config)
        points[point.name] = point
        run_of[point.name] = first.setdefault(identity(point), point.name)
    return Sweep(workdir, points, run_of, content["evaluations"], content["paper_table"])


def identity(point: Point) -> str:
    """Equal for points that compute the same."""
    config = point.config
    hidden, projection = config.network.heads()
    values = {
        **config.result_settings(),
        **{name: config.settings()[name] for name in point.varied},
        **canonical(config.objective).values(),
        "hidden_size": hidden,
        "projection_size": projection,
    }
    return fingerprint_of_json(values)


def _refuse_others(
    workdir: str,
    recorded: Mapping[str, Mapping[str, Any]],
    entries: Mapping[str, Mapping[str, Any]],
    base: Config,
) -> None:
    """Refuses new points that would not stand beside the recorded ones in one table."""
    for name, entry in entries.items():
        if name in recorded:
            there = recorded[name]["settings"]
            _refuse(workdir, f"the point '{name}'", there, entry["settings"])
    varied = {
        name for entry in (*recorded.values(), *entries.values()) for name in entry["varied"]
    } | {"seed"}
    shared = json.loads(json.dumps(base.result_settings()))
    for name, entry in recorded.items():
        settings = entry["settings"]
        common = (settings.keys() | shared.keys()) - varied
        _refuse(
            workdir,
            f"points such as '{name}'",
            {key: settings.get(key) for key in common},
            {key: shared.get(key) for key in common},
        )


def _refuse(workdir: str, what: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    defaults = json.loads(json.dumps(Config().settings()))
    if differing := differences({**defaults, **there}, {**defaults, **now}, "--"):
        raise ValueError(
            f"--workdir={workdir}: it holds {what} with other settings "
            f"({first_of(differing, _SHOWN)}). Make these equal, vary them in --grid, or "
            "choose another --workdir."
        )


def _content(workdir: str) -> dict[str, Any]:
    path = os.path.join(workdir, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        _ = content["place"], content["evaluations"], content["paper_table"]
        _ = [(e["name"], e["label"], e["varied"], e["settings"]) for e in content["points"]]
    except FileNotFoundError:
        raise ValueError(
            f"--workdir={workdir}: there is no sweep. Give its --grid or --points, too."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"--workdir={workdir}: {NAME} can't be read ({error}). Restore it, or choose another "
            "--workdir."
        ) from error
    return content


@contextlib.contextmanager
def _locked(workdir: str) -> Iterator[None]:
    lock = Lock(workdir, f"--workdir={workdir}", wait=True)
    try:
        yield
    finally:
        lock.close()
