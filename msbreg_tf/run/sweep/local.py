"""The points of a sweep on this machine, one after the other or several at once."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Optional

from msbreg_tf.errors import PreemptedError, RunFailedError
from msbreg_tf.run.sweep import status
from msbreg_tf.run.sweep.record import Sweep
from msbreg_tf.run.sweep.state import missing, read_state, take
from msbreg_tf.run.sweep.work import Place, Work

_POLL_SECONDS = 0.3
_SAY_EVERY = 60.0  # seconds
_NAMED = 5  # failed runs in the message that ends a sweep


def places(jobs: int) -> list[Place]:
    """A share of this process's cores, and of the GPUs that it sees, for each of several jobs."""
    if jobs == 1:
        return [Place()]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    gpus = visible_gpus()
    return [
        Place(tuple(_share(cores, index, jobs)), ",".join(_share(gpus, index, jobs)) or None)
        for index in range(jobs)
    ]


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them, or else as the driver's tool does."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each.strip() for each in named.split(",") if each.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def _share(things: Sequence, index: int, jobs: int) -> Sequence:
    """The part of job `index`; neighbours stay together, and a part may be one that others have."""
    if not things:
        return things
    if len(things) < jobs:
        return [things[index % len(things)]]
    return things[len(things) * index // jobs : len(things) * (index + 1) // jobs]


class LocalEngine:
    """Runs points until all are done, have failed, or a signal asks to stop."""

    def __init__(self, sweep: Sweep, names: Sequence[str], jobs: int, say: Callable[[str], None]):
        """Nothing runs before `run`.

        Args:
          sweep: whose points.
          names: of the runs.
          jobs: how many at the same time.
          say: gets every line of progress.
        """
        self._sweep = sweep
        self._names = list(names)
        self._places = places(jobs)
        self._say = say
        self._slots: list[Optional[Work]] = [None] * jobs
        self._signal = 0
        self._begun = time.time()
        self._done: set[str] = set()
        self._said_waiting = False

    def run(self) -> None:
        """Runs all; another sweep's points are waited for.

        Raises:
          PreemptedError: a signal asked to stop; everything that ran has saved and ended.
          RunFailedError: a point failed, the others are done; each is named with its log.
        """
        before = {n: signal.signal(n, self._request_stop) for n in (signal.SIGTERM, signal.SIGINT)}
        said = time.time()
        try:
            while self._step():
                if time.time() - said > _SAY_EVERY:
                    said = time.time()
                    self._tell()
                time.sleep(_POLL_SECONDS)
        finally:
            for work in filter(None, self._slots):
                work.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        self._raise_failures()

    def _step(self) -> bool:
        """Looks after every slot once; False when there is nothing left to do."""
        if self._signal:
            self._stop()
        for index, work in enumerate(self._slots):
            if work is not None and not work.poll():
                self._slots[index] = None
                self._finished(work)
            if self._slots[index] is None:
                self._slots[index] = self._begin(self._places[index])
        busy = any(work is not None for work in self._slots)
        held = [name for name in self._names if self._is_open(name)]
        if held and not busy and not self._said_waiting:
            self._said_waiting = True
            self._say(f"Waiting for another process, which works on {len(held)} of these runs.")
        return busy or bool(held)

    def _begin(self, place: Place) -> Optional[Work]:
        """The next point that nobody works on."""
        for name in self._names:
            if not self._is_open(name):
                continue
            lock = take(self._sweep, name)
            if lock is None:
                continue
            if not self._is_open(name):  # it was finished in between
                lock.close()
                continue
            work = Work(self._sweep, name, lock, place)
            self._say(f"{name}: started.")
            return work
        return None

    def _is_open(self, name: str) -> bool:
        """Whether a run is neither done, nor ours already, nor failed since we began."""
        if name in [work.name for work in self._slots if work is not None]:
            return False
        if name not in self._done and not missing(self._sweep, name):
            self._done.add(name)
        if name in self._done:
            return False
        failed = read_state(self._sweep.folder(name))["failed"]
        return not (failed and failed["time"] >= self._begun)

    def _finished(self, work: Work) -> None:
        if work.failure is None:
            self._tell(f"{work.name}: done. ")
        else:
            self._tell(f"{work.name} failed: {work.failure} Log: {work.log}. ")

    def _tell(self, begin: str = "") -> None:
        found = self._standings()
        at_once = sum(work is not None for work in self._slots) or len(self._slots)
        self._say(begin + status.summary(self._sweep, found, at_once))

    def _standings(self) -> list[status.Standing]:
        return [status.standing(self._sweep, name) for name in self._names]

    def _request_stop(self, number, frame) -> None:
        self._signal = number
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)  # a second one ends this process at once

    def _stop(self) -> None:
        name = signal.Signals(self._signal).name
        self._say(f"{name} received: the points that run save and end.")
        for work in filter(None, self._slots):
            work.ask_to_stop()
        for index, work in enumerate(self._slots):
            if work is not None:
                work.stop()
                self._slots[index] = None
        raise PreemptedError(f"{name} received. Start the same command again to continue.")

    def _raise_failures(self) -> None:
        found = self._standings()
        if failed := status.failures(self._sweep, found):
            for line in failed:
                self._say(line)
            names = [s.name for s in found if s.state == status.FAILED]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise RunFailedError(
                f"{len(names)} of {len(found)} runs failed: {', '.join(names[:_NAMED])}{more}. "
                "Their logs are named above; start the same command again to try them again."
            )
