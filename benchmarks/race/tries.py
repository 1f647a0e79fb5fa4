"""What a recipe's settings give in the same processor time: the search of flags/short.cfg.

    python -m benchmarks.race.tries --flagfile=benchmarks/race/tries.cfg --workdir=runs/tries

Every row of --points (as `tools.sweep` has them) is trained for --seconds with each of --seeds, in
its fastest precision, as a race's run is, and evaluated by the splits of --knn_train_split and
--knn_test_split. Nothing that is done is done again; started several times (each on a core of its
own: `taskset -c 0 python -m …`) it shares the work. It ends with a table, best first, which is also
tries.txt and tries.md in the folder.
"""

import dataclasses
import os
import statistics
import sys
from collections.abc import Sequence

from benchmarks.race import table, work
from benchmarks.race.__main__ import folder_of, say
from benchmarks.race.contenders import OURS, point_name
from benchmarks.race.parts import Part, complete
from benchmarks.race.request import our_request
from benchmarks.race.stages import SEARCH_SEED, VIEW_STEPS, mean_seconds, score
from msbreg_tf.commands import cli
from msbreg_tf.files.whole import write_text_whole
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.run.sweep import grid
from msbreg_tf.settings import Settings, setting

_TRIAL_IMAGES = 2048  # after as many the time of a step is known well enough


@dataclasses.dataclass(frozen=True)
class TriesSettings(Settings):
    """The search. All other settings are those of training."""

    points: str = setting(
        "as given:",
        "What is tried: a row for each, 'name: setting=value,setting=value; …'.",
    )
    seeds: tuple[int, ...] = setting((SEARCH_SEED,), "Seeds of every row's trainings.", low=0)
    seconds: float = setting(
        150.0, "Processor time of a training, views included.", unit="seconds", above=0
    )
    threads: int = setting(1, "Threads that each process may use.", low=1)


@dataclasses.dataclass(frozen=True)
class Tries:
    """Everything that decides the parts.

    Attributes:
      own: the search's settings.
      config: what its points share.
      workdir: folder of everything.
    """

    own: TriesSettings
    config: Config
    workdir: str

    def points(self) -> list[grid.Point]:
        """A point for each row and seed, in order; all rows of the first seed first."""
        return grid.points_of(self.config, "", self.own.points, self.own.seeds)

    def trial(self, point: grid.Point) -> Part:
        """What a step takes; for each seed, lest one slow minute decide all steps of a row."""
        batch = point.config.optimizer.batch_size
        request = self._request(point, {}, max(2, round(_TRIAL_IMAGES / batch)))
        request["view_steps"] = VIEW_STEPS
        return self._part("trial", point, request, work.our_trial)

    def training(self, point: grid.Point) -> Part:
        """As many steps as fit into the time, and their evaluation; after its trial only."""
        found = self.trial(point).result()
        step = min(form["seconds"] for form in found["forms"])
        steps = max(2, round(self.own.seconds / step))
        return self._part("run", point, self._request(point, found, steps), work.train)

    def _request(self, point: grid.Point, form, steps: int):
        run = self.config.run
        splits = run.knn_train_split, run.knn_test_split
        seed = point.config.run.seed
        return our_request(
            OURS, self.config, point.varied, form, steps, seed, splits, self.own.threads
        )

    def _part(self, stage: str, point: grid.Point, request, does) -> Part:
        path = os.path.join(self.workdir, stage, point.name)
        return Part(path, f"{stage} {point.label or point.name}", request, does)


def rows(tries: Tries) -> list[dict]:
    """A row for each setting, means and deviations over seeds, the best mean first."""
    grouped: dict[str, list[dict]] = {}
    for point in tries.points():
        label = point.label or point_name(point.varied) or "as given"
        grouped.setdefault(label, []).append(tries.training(point).result())
    found = [_row(label, results) for label, results in grouped.items()]
    return sorted(found, key=lambda row: -(row["mean"] or 0))


def _row(label: str, results: Sequence[dict]) -> dict:
    """A setting that diverged with a seed has no mean, and so comes last."""
    good = [result for result in results if "scores" in result]
    steps = statistics.mean(result["request"]["steps"] for result in results)
    return {
        "settings": label,
        **table.over_seeds(results),
        "mean": statistics.mean(map(score, good)) if good == results else None,
        "steps": round(steps),
        "seconds": mean_seconds(good),
    }


def _run(own: TriesSettings, *parts: Settings) -> None:
    config = Config(*parts)
    tries = Tries(own, config, folder_of(config.run.workdir))
    points = tries.points()
    complete([tries.trial(point) for point in points], say)
    complete([tries.training(point) for point in points], say)
    found = rows(tries)
    for ending, draw in (("txt", table.as_text), ("md", table.as_markdown)):
        path = os.path.join(tries.workdir, f"tries.{ending}")
        write_text_whole(path, draw(found) + "\n")
    print(table.as_text(found))


COMMAND = cli.Command((TriesSettings, *PARTS), _run)

if __name__ == "__main__":
    cli.run(COMMAND, __doc__, sys.argv)
