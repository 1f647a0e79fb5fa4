"""The parts of the race, stage by stage: trial, search, equal compute, equal time.

- *trial*: a few steps in each form, float32 or bfloat16 (and, of PyTorch, with and without
  channels_last); the fastest is the contender's from then on. Also what our views cost alone.
- *search*: every point of every contender's grid, trained on four fifths of the training images
  and scored on the rest, by the mean of both accuracies; nobody sees the test images.
- *compute*: the chosen settings, all seeds, the whole budget of passes; and shorter runs of the
  first seed.
- *seconds*: as many steps as fit into the time of the reference, by what a step took in *compute*.
  A peer whose runs there took up to a quarter more keeps these: in doubt the peer gets more time.
"""

import dataclasses
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from benchmarks.race import work
from benchmarks.race.contenders import OURS, PEERS, SEARCHED, UNTRAINED, point_name, steps_for
from benchmarks.race.parts import Part
from benchmarks.race.request import our_request, passes_of, peer_request, untrained_request
from benchmarks.race.settings import REFERENCE, RaceSettings
from msbreg_tf.run.config import Config
from msbreg_tf.run.sweep import grid

SEARCH_SEED = 1000  # other initial weights than those of any final run
TRIAL_STEPS, VIEW_STEPS = 8, 40
_GRACE = 0.25  # of the time of the reference
_FORMS = [
    {"precision": precision, "channels_last": lasts}
    for precision in ("float32", "bfloat16")
    for lasts in (False, True)
]


@dataclasses.dataclass(frozen=True)
class Race:
    """Everything that decides the parts.

    Attributes:
      own: the race's settings.
      config: those of our run.
      workdir: folder of everything.
    """

    own: RaceSettings
    config: Config
    workdir: str

    @property
    def passes(self) -> float:
        """The whole budget."""
        return 1000 * self.own.budget * self.own.budget_scale

    def names(self, trained: bool = True) -> list[str]:
        """Who takes part, as their folders are called."""
        names = [self.own.name if name == OURS else name for name in self.own.only]
        return [name for name in names if not (trained and name == UNTRAINED)]

    def trial(self, name: str) -> Part:
        """Of one contender."""
        held_in, _ = self._search_splits()
        more = {"forms": _FORMS} if name in PEERS else {"view_steps": VIEW_STEPS}
        point = _usual(name)
        request = self._request(name, point, {}, TRIAL_STEPS, SEARCH_SEED, (held_in, held_in))
        does = work.peer_trial if name in PEERS else work.our_trial
        return self._part("trial", name, "", {**request, **more}, does)

    def points(self, name: str) -> list[dict[str, Any]]:
        """What the search tries; [{}] where there is nothing to choose.

        Raises:
          ValueError: our grid has more points than the others'.
        """
        if name in PEERS:
            return PEERS[name].points()
        text = around(self.config) if self.own.grid is None else self.own.grid
        found = grid.points_of(self.config, text, "", [self.config.run.seed])
        if len(found) > SEARCHED:
            raise ValueError(
                f"--grid={text}: {len(found)} combinations, and every contender may try "
                f"{SEARCHED}. Leave some out."
            )
        return [dict(point.varied) for point in found]

    def search(self, name: str) -> list[Part]:
        """A part for each point of one contender's grid."""
        parts = []
        for point in self.points(name):
            steps = self._steps(name, point, self.passes * self.own.search_scale)
            splits = self._search_splits()
            request = self._request(name, point, self._form(name), steps, SEARCH_SEED, splits)
            folder = point_name(point) or "as-given"
            parts.append(self._part("search", name, folder, request, work.train))
        return parts

    def chosen(self, name: str) -> dict[str, Any]:
        """The best point of a finished search, or what is usual if there was none."""
        parts = self.search(name)
        results = [part.result() for part in parts]
        if None in results:
            return _usual(name)
        return best([(part.request["point"], result) for part, result in zip(parts, results)])

    def compute(self, name: str) -> list[Part]:
        """At equal compute: all seeds, then the shorter runs of the first."""
        seeds = self.own.seeds
        if name == UNTRAINED:
            return [self._untrained(seed) for seed in seeds]
        whole = [self._final("compute", name, 1.0, seed) for seed in seeds]
        lengths = sorted(self.own.lengths)
        return whole + [self._final("compute", name, each, seeds[0]) for each in lengths]

    def time(self) -> Optional[float]:
        """The seconds that everyone gets; None while the reference's runs are not there."""
        if self.own.seconds:
            return self.own.seconds * self.own.budget_scale
        return self._mean_seconds(REFERENCE) if self.trial(REFERENCE).result() else None

    def timed(self, name: str, seconds: float) -> list[Part]:
        """At equal time: all seeds. None of one that has diverged, nor of a peer whose runs at
        equal compute stand for them."""
        taken = self._mean_seconds(name)
        if taken is None or (name in PEERS and stand(taken, seconds)):
            return []
        length = seconds / taken
        return [self._final("seconds", name, length, seed) for seed in self.own.seeds]

    def _mean_seconds(self, name: str) -> Optional[float]:
        parts = [self._final("compute", name, 1.0, seed) for seed in self.own.seeds]
        results = [part.result() for part in parts]
        if None in results:
            return None
        return mean_seconds(results)

    def _final(self, stage: str, name: str, length: float, seed: int) -> Part:
        point = self.chosen(name)
        steps = self._steps(name, point, self.passes * length)
        splits = (self.config.data.split, self.config.run.knn_test_split)
        request = self._request(name, point, self._form(name), steps, seed, splits)
        is_short = stage == "compute" and length != 1
        folder = f"length={length:g},seed={seed}" if is_short else f"seed={seed}"
        return self._part(stage, name, folder, request, work.train)

    def _untrained(self, seed: int) -> Part:
        splits = (self.config.data.split, self.config.run.knn_test_split)
        request = untrained_request(self.config, seed, splits, self.own.threads)
        return self._part("compute", UNTRAINED, f"seed={seed}", request, work.untrained)

    def _search_splits(self) -> tuple[str, str]:
        split = self.config.data.split
        return f"{split}[:80%]", f"{split}[80%:]"

    def _steps(self, name: str, point: Mapping[str, Any], passes: float) -> int:
        return steps_for(passes, *passes_of(name, self.config, point))

    def _form(self, name: str) -> Mapping[str, Any]:
        found = self.trial(name).result()
        return {key: found[key] for key in ("fastest", "seconds_per_view") if key in found}

    def _request(self, name, point, form, steps: int, seed: int, splits) -> dict[str, Any]:
        asked = (name, self.config, point, form, steps, seed, splits, self.own.threads)
        if name in PEERS:
            return peer_request(*asked, view_size=self.own.peer_view_size)
        return our_request(*asked)

    def _part(self, stage: str, name: str, folder: str, request, does) -> Part:
        path = os.path.join(self.workdir, stage, name, folder).rstrip(os.sep)
        return Part(path, " ".join(filter(None, (stage, name, folder))), request, does)


def around(config: Config) -> str:
    """The grid of our run where none is given."""
    rates = ",".join(f"{factor * config.optimizer.base_lr:g}" for factor in (0.5, 1, 2))
    weights = ",".join(f"{factor * config.objective.lambda_s:g}" for factor in (0.5, 1))
    return f"base_lr={rates};lambda_s={weights}"


def _usual(name: str) -> dict[str, Any]:
    """What counts without a search; of ours, the flags as they are."""
    return PEERS[name].usual_point() if name in PEERS else {}


def best(found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """The point with the highest score; of equal ones the first, of none that has one the first."""
    return dict(max(found, key=lambda each: score(each[1]))[0])


def mean_seconds(results: Sequence[Mapping[str, Any]]) -> Optional[float]:
    """Of the results that have seconds; None if none has."""
    taken = [each["seconds"] for each in results if "seconds" in each]
    return statistics.mean(taken) if taken else None


def stand(taken: float, seconds: float) -> bool:
    """Whether a peer's runs that took so long are its runs at equal time, too."""
    return seconds <= taken <= (1 + _GRACE) * seconds


def score(result: Mapping[str, Any]) -> float:
    """What a search goes by: the mean of the accuracies in %; −1 for a run that diverged."""
    return statistics.mean(result["scores"].values()) if "scores" in result else -1.0
