"""What a run has written, read back: settings, metrics, TensorBoard's points, results, exports."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from msbreg_tf.errors import note, one_line
from msbreg_tf.evaluation.results.log import read_results
from msbreg_tf.files.event_files import Point, read_points
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.run.config import Config, config_from_settings


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """One run's folder.

    Attributes:
      path: as it was given.
      name: for headings and legends.
      settings: {flag: value} of all settings that are recorded somewhere.
      facts: what else run.json holds of the run: images, precision, TensorFlow.
      metrics: lines of metrics.jsonl, oldest first.
      points: TensorBoard's, see `read_points`.
      results: lines of results.jsonl, oldest first.
      exports: folders of its exports, by step.
      metadata: metadata.json of the newest export; empty without one.
      broken: names in broken_files.
    """

    path: str
    name: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    points: Mapping[str, Sequence[Point]]
    results: Sequence[Mapping[str, Any]]
    exports: Sequence[str]
    metadata: Mapping[str, Any]
    broken: Sequence[str]

    @property
    def config(self) -> Config:
        """The settings as an object; those that this version does not know are left out."""
        known = Config().settings()
        lists = {name: tuple(v) for name, v in self.settings.items() if isinstance(v, list)}
        given = {**self.settings, **lists}
        return config_from_settings({name: v for name, v in given.items() if name in known})

    @property
    def last_step(self) -> int:
        """The last step that is logged; 0 before the first."""
        return max((line["step"] for line in self.metrics), default=0)


def read_run(path: str, name: Optional[str] = None) -> RunFiles:
    """Reads a run's folder, whether the run is finished or goes on.

    Args:
      path: the folder.
      name: for headings; by default the folder's.

    Raises:
      ValueError: there is no run in it.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    record = _json(os.path.join(folder, "run.json"))
    if not record:
        raise ValueError(
            f"--runs={path}: no readable run.json in it. Give the --workdir of a training."
        )
    exports = _exports(os.path.join(folder, "export"))
    metadata = _json(os.path.join(exports[-1], "metadata.json")) if exports else {}
    settings = {
        **metadata.get("recipe", {}),
        **record.get("settings", {}),
        **record.get("free", {}),
    }
    metrics = os.path.join(folder, "metrics.jsonl")
    results = os.path.join(folder, "results.jsonl")
    return RunFiles(
        path=path,
        name=name or os.path.basename(folder),
        settings=settings,
        facts=record.get("facts", {}),
        metrics=MetricsFile(metrics).read() if os.path.exists(metrics) else [],
        points=read_points(os.path.join(folder, "tensorboard")),
        results=read_results(results) if os.path.exists(results) else [],
        exports=exports,
        metadata=metadata,
        broken=_lines(os.path.join(folder, "broken_files")),
    )


def read_runs(paths: Sequence[str]) -> list[RunFiles]:
    """Reads several runs; those whose folders have the same name are called by their paths."""
    bases = [os.path.basename(os.path.abspath(os.path.expanduser(path))) for path in paths]
    return [
        read_run(path, base if bases.count(base) == 1 else path) for path, base in zip(paths, bases)
    ]


def _exports(folder: str) -> list[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    steps = sorted((name for name in names if name.isdigit()), key=int)
    paths = [os.path.join(folder, step) for step in steps]
    return [path for path in paths if os.path.exists(os.path.join(path, "saved_model.pb"))]


def _json(path: str) -> dict[str, Any]:
    """The object in a file; empty if there is none, or it can't be read, of which a line tells."""
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        note(f"{path}: can't be read ({one_line(error)}).")
        return {}


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return sorted(set(filter(None, file.read().splitlines())))
