"""A contender's side of the arena: it works all the time, and waits where it is told to.

A contender's module has `run(settings, tick)`. It works without end and calls `tick(count)` after
every piece of work, with the number of units in it; that call may wait for the parent's next word.

    python -m benchmarks.turns MODULE SETTINGS_AS_JSON

Words come as JSON lines on stdin, answers go as JSON lines to stdout. Everything else that is
printed goes to stderr.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time


class Turns:
    """Times the pieces of work between the parent's word and its deadline."""

    def __init__(self, words, answers, warm_up: int):
        """Takes two text streams, and how many pieces of work to do before saying "ready"."""
        self._words = words
        self._answers = answers
        self._warm_up = warm_up
        self._skip = 0
        self._skipped = self._count = 0  # units
        self._seconds = self._started = 0.0

    def tick(self, count: float) -> None:
        """Counts one finished piece of work; waits if the turn is over."""
        now = time.perf_counter()
        if self._warm_up > 0:
            self._warm_up -= 1
            if self._warm_up == 0:
                self._answer({"ready": True})
                self._wait()
        elif self._skip > 0:
            self._skip -= 1
            self._skipped += count
            self._started = now
        else:
            self._count += count
            if now - self._started >= self._seconds:
                times = {"seconds": now - self._started, "skipped": self._skipped}
                self._answer({"count": self._count, **times})
                self._wait()

    def _answer(self, answer: dict) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _wait(self) -> None:
        line = self._words.readline()
        if not line:  # the parent is gone or done
            os._exit(0)
        word = json.loads(line)
        self._seconds, self._skip = word["seconds"], word["skip"]
        self._skipped = self._count = 0
        self._started = time.perf_counter()


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def main():
    die_with_parent()
    module, settings = sys.argv[1], json.loads(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    turns = Turns(sys.stdin, answers, settings.pop("warm_up", 3))
    importlib.import_module(module).run(settings, turns.tick)


if __name__ == "__main__":
    main()
