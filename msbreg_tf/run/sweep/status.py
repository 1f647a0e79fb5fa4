"""How far a sweep is: done, running, failed, waiting, and how long the rest will take."""

import fcntl
import json
import os
from typing import Any, NamedTuple, Optional

from msbreg_tf.files import lock
from msbreg_tf.run.clock import duration
from msbreg_tf.run.config import Config
from msbreg_tf.run.sweep import state as states
from msbreg_tf.run.sweep.record import Sweep

DONE, RUNNING, FAILED, WAITING = "done", "running", "failed", "waiting"


class Standing(NamedTuple):
    """Where one run stands.

    Attributes:
      name: of the run.
      state: one of the four words above.
      progress: share of the training that is done, 0 to 1.
      seconds: {stage: time it took} of what is done.
      why: of a failure; else empty.
      job: of a batch system; else None.
    """

    name: str
    state: str
    progress: float
    seconds: dict[str, float]
    why: str
    job: Optional[str]


def standings(sweep: Sweep) -> list[Standing]:
    """Where every run stands, in order."""
    return [standing(sweep, name) for name in sweep.runs]


def standing(sweep: Sweep, name: str) -> Standing:
    """Where one run stands."""
    folder = sweep.folder(name)
    state = states.read_state(folder)
    failed: Optional[dict[str, Any]] = state["failed"]
    word = WAITING
    if is_held(folder):
        word = RUNNING
    elif not states.missing(sweep, name):
        word = DONE
    elif failed:
        word = FAILED
    epochs = sweep.points[name].config.optimizer.epochs
    progress = 1.0 if states.TRAIN in state["done"] else _epochs_done(folder) / epochs
    why = failed["why"] if failed and word == FAILED else ""
    return Standing(name, word, min(progress, 1.0), state["done"], why, state["job"])


def is_held(folder: str) -> bool:
    """Whether a process has the lock of a point."""
    try:
        with open(os.path.join(folder, states.OWN, lock.NAME)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def seconds_left(sweep: Sweep, found: list[Standing], at_once: int) -> Optional[float]:
    """Estimated from the runs that are done; None before the first.

    A training is taken to cost its views, epochs × K, and an evaluation the same for every run.

    Args:
      sweep: of the runs.
      found: their standings.
      at_once: how many run at the same time.
    """
    trained = [s for s in found if states.TRAIN in s.seconds]
    spent = sum(s.seconds[states.TRAIN] for s in trained)
    units = sum(_units(sweep.points[s.name].config) for s in trained)
    if not units:
        return None
    left = 0.0
    for each in found:
        if each.state == DONE or each.state == FAILED:
            continue
        if states.TRAIN not in each.seconds:
            left += (1 - each.progress) * _units(sweep.points[each.name].config) * spent / units
        for stage in states.stages(sweep)[1:]:
            took = [s.seconds[stage] for s in found if stage in s.seconds]
            if stage not in each.seconds:
                if not took:
                    return None
                left += sum(took) / len(took)
    return left / max(at_once, 1)


def counts(found: list[Standing]) -> str:
    """'3 of 40 done, 2 running, 1 failed'."""
    number = {word: sum(s.state == word for s in found) for word in (DONE, RUNNING, FAILED)}
    text = f"{number[DONE]} of {len(found)} done, {number[RUNNING]} running"
    return f"{text}, {number[FAILED]} failed" if number[FAILED] else text


def summary(sweep: Sweep, found: list[Standing], at_once: int) -> str:
    """`counts`, and the estimated time."""
    left = seconds_left(sweep, found, at_once)
    if all(s.state in (DONE, FAILED) for s in found):
        return f"{counts(found)}."
    about = "time left not known before the first is done"
    return f"{counts(found)}; {about if left is None else f'about {duration(left)} left'}."


def failures(sweep: Sweep, found: list[Standing]) -> list[str]:
    """A line for every failed run: which, why, and its log."""
    return [
        f"{s.name} failed: {s.why} Log: {os.path.join(sweep.folder(s.name), states.LOG)}"
        for s in found
        if s.state == FAILED
    ]


def describe(sweep: Sweep) -> str:
    """What `--status` prints: a line for each run, and the sum."""
    found = standings(sweep)
    width = max(len(s.name) for s in found)
    lines = [f"{s.name:<{width}}  {_words(s)}".rstrip() for s in found]
    lines += [
        f"{name:<{width}}  the same run as {run}"
        for name, run in sweep.run_of.items()
        if run != name
    ]
    at_once = sum(s.state == RUNNING for s in found)
    return "\n".join([*lines, "", summary(sweep, found, at_once), *failures(sweep, found)])


def _words(each: Standing) -> str:
    if each.state == DONE:
        return f"done in {duration(sum(each.seconds.values()))}"
    if each.state == RUNNING:
        return f"running, {100 * each.progress:.0f} % trained"
    if each.state == WAITING and each.job:
        return f"waiting, job {each.job}"
    return each.state


def _units(config: Config) -> float:
    return float(config.objective.num_views * config.optimizer.epochs)


def _epochs_done(folder: str) -> float:
    """The epoch of the last line of metrics.jsonl."""
    try:
        with open(os.path.join(folder, "metrics.jsonl"), "rb") as file:
            file.seek(max(0, os.path.getsize(file.name) - (1 << 14)))
            lines = [line for line in file.read().splitlines(True) if line.endswith(b"\n")]
        return float(json.loads(lines[-1])["epoch"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0.0
