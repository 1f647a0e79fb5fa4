"""What the folder of a race holds, as tables. No TensorFlow in here."""

import csv
import dataclasses
import glob
import io
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from benchmarks.race.contenders import PEERS, UNTRAINED, point_name
from benchmarks.race.parts import RESULT, form_name, outcome, read
from benchmarks.race.settings import REFERENCE
from benchmarks.race.stages import mean_seconds, score, stand
from msbreg_tf.evaluation.results.text import table as text_table
from msbreg_tf.run.sweep.table import Spread

SCORES = ("20-NN", "linear")
STAGES = {"compute": "At equal compute", "seconds": "At equal time"}


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished part of the stages search, compute and seconds.

    Attributes:
      stage, contender: as their folders are called.
      length: part of the budget of passes; 1 of all but the shorter runs for the picture.
      seed: of the run.
      point: the settings that were searched.
      result: the whole of result.json.
    """

    stage: str
    contender: str
    length: float
    seed: int
    point: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As a table shows its contender."""
        return PEERS[self.contender].title if self.contender in PEERS else self.contender


def runs_in(workdir: str) -> list[Run]:
    """All finished runs of a folder; ours first, then peers in their order, at last the untrained.

    A peer's runs at equal compute stand at equal time, too, where it has no others and they took
    the reference's time or a little more.
    """
    found = []
    for stage in ("search", *STAGES):
        for path in sorted(glob.glob(os.path.join(workdir, stage, "*", "*", RESULT))):
            folder = os.path.basename(os.path.dirname(path))
            length = float(folder[7:].partition(",")[0]) if folder.startswith("length=") else 1.0
            result = read(path)
            request = result["request"]
            name, seed = request["contender"], request["seed"]
            found.append(Run(stage, name, length, seed, request["point"], result))
    found += _standing(found)
    order = [*PEERS, UNTRAINED]
    place = {name: number for number, name in enumerate(order, start=1)}
    return sorted(found, key=lambda run: (place.get(run.contender, 0), run.contender))


def _standing(runs: Sequence[Run]) -> list[Run]:
    """The runs at equal compute that are their peer's at equal time, too."""
    timed = {run.contender for run in runs if run.stage == "seconds"}
    target = _seconds(runs, "seconds", REFERENCE) or _seconds(runs, "compute", REFERENCE)
    taken = {name: _seconds(runs, "compute", name) for name in PEERS.keys() - timed}
    if not timed or not target:
        return []
    return [
        dataclasses.replace(run, stage="seconds")
        for run in runs
        if run.stage == "compute" and run.length == 1
        if taken.get(run.contender) and stand(taken[run.contender], target)
    ]


def _seconds(runs: Sequence[Run], stage: str, name: str) -> Optional[float]:
    """The mean of a contender's whole runs; None if there are none."""
    whole = [r.result for r in runs if (r.stage, r.contender, r.length) == (stage, name, 1)]
    return mean_seconds(whole)


def rows(runs: Sequence[Run], stage: str) -> list[dict[str, Any]]:
    """A row for each contender at equal compute or time, means and deviations over seeds."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        if run.length == 1 and (run.stage == stage or run.contender == UNTRAINED):
            grouped.setdefault(run.contender, []).append(run)
    return [_row(group) for group in grouped.values() if group[0].stage != "search"]


def _row(group: Sequence[Run]) -> dict[str, Any]:
    results = [run.result for run in group]
    timed = [each for each in results if "scores" in each and "seconds" in each]
    passes = [each["request"]["passes"] for each in results]
    return {
        "contender": group[0].title,
        **over_seeds(results),
        "seconds": spread([each["seconds"] for each in timed]),
        "without views": spread([each["training_seconds"] for each in timed]),
        "thousand passes": f"{statistics.mean(passes) / 1000:,.0f}" if any(passes) else None,
        "settings": point_name(group[0].point) or None,
    }


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of one contender or setting: seeds that ended well, what became of others, scores.

    Args:
      results: of its seeds.
    """
    good = [each for each in results if "scores" in each]
    lost = [outcome(each) for each in results if "scores" not in each]
    return {
        "seeds": ", ".join([str(len(good)), *lost]),
        **{name: spread([each["scores"][name] for each in good]) for name in SCORES},
    }


def spread(values: Sequence[float]) -> Optional[Spread]:
    """Mean and deviation; None of nothing."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.mean(values), deviation, len(values))


def lead(found: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> list[str]:
    """How far each of ours is ahead of the best peer, in points.

    Args:
      found: rows of a stage.
      titles: of the peers.
    """
    peers = [row for row in found if row["contender"] in titles]
    ours = [r for r in found if r["contender"] not in titles and r["contender"] != UNTRAINED]
    lines = []
    for row in ours:
        gaps = []
        for name in SCORES:
            rivals = [each for each in peers if each[name]]
            if row[name] and rivals:
                first = max(rivals, key=lambda each: each[name].mean)
                gap = row[name].mean - first[name].mean
                gaps.append(f"{gap:+.1f} in {name} ({first['contender']})")
        if gaps:
            lines.append(f"{row['contender']}, beside the best peer: {', '.join(gaps)}")
    return lines


def search_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each point of the search; the chosen one of each contender is marked."""
    tried = [run for run in runs if run.stage == "search"]
    best: dict[str, Run] = {}
    for run in tried:
        first = best.setdefault(run.contender, run)
        if score(run.result) > score(first.result):
            best[run.contender] = run
    return [
        {
            "contender": run.title,
            "settings": point_name(run.point) or "as given",
            **{name: run.result.get("scores", {}).get(name) for name in SCORES},
            "mean": score(run.result) if "scores" in run.result else None,
            "": "chosen" if best[run.contender] is run else "",
        }
        for run in tried
    ]


def trial_rows(workdir: str) -> list[dict[str, Any]]:
    """A row for each contender: seconds of a step in each form."""
    found = []
    for path in sorted(glob.glob(os.path.join(workdir, "trial", "*", RESULT))):
        result = read(path)
        name = result["request"]["contender"]
        steps = {form_name(each["form"]): each["seconds"] for each in result["forms"]}
        title = PEERS[name].title if name in PEERS else name
        found.append({"contender": title, **steps, "fastest": form_name(result["fastest"])})
    return found


def as_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Rows for a terminal."""
    return text_table([{name: _cell(value) for name, value in row.items()} for row in found])


def as_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Rows for a page."""
    names = list(dict.fromkeys(name for row in found for name in row))
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in found:
        cells = [_cell(row.get(name)) for name in names]
        lines.append(f"| {' | '.join('–' if cell is None else str(cell) for cell in cells)} |")
    return "\n".join(lines)


def as_csv(runs: Sequence[Run]) -> str:
    """Every run in a line of its own, for programs."""
    file = io.StringIO()
    columns = ("stage", "contender", "length", "seed", "settings", *SCORES, "seconds")
    more = ("training_seconds", "wall_seconds", "clock", "device")
    asked = ("steps", "batch", "passes")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *more, *asked])
    for run in runs:
        scores, request = run.result.get("scores", {}), run.result["request"]
        head = [run.stage, run.contender, run.length, run.seed, point_name(run.point)]
        numbers = [*(scores.get(name) for name in SCORES), run.result.get("seconds")]
        rest = [run.result.get(name) for name in more] + [request[name] for name in asked]
        writer.writerow([*head, *numbers, *rest])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, Spread):
        deviation = "" if value.deviation is None else f" ± {value.deviation:.1f}"
        return f"{value.mean:.1f}{deviation}"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 10 else f"{value:.1f}"
    return value
