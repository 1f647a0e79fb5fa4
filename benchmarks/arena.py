"""Lets contenders, each in a process of its own, take turns on the same machine.

Noise from other programs comes in spells longer than a turn. Contenders that take turns of some
seconds all meet the same spells, and the ratio within one round is worth more than either speed.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = sys.executable
PEERS = os.path.join(ROOT, ".venv-bench", "bin", "python")


@dataclasses.dataclass(frozen=True)
class Contender:
    """What to run: `module.run(settings, tick)`, with the Python of its environment."""

    name: str
    module: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    python: str = OURS


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one turn gave."""

    rate: float  # units per second
    cpu_seconds: float  # of all cores, per unit


class FailedError(RuntimeError):
    """A contender could not start or broke off; the last line of its log."""


class Worker:
    """A running contender. Between its turns its processes are stopped, so they use no CPU."""

    def __init__(self, contender: Contender):
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - until close()
        self._process = subprocess.Popen(
            [
                *(contender.python, "-m", "benchmarks.turns"),
                *(f"benchmarks.contenders.{contender.module}", json.dumps(contender.settings)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # so that its own workers stop and go on with it
        )

    def wait_until_ready(self) -> None:
        """Returns when it has warmed up, and stops it.

        Raises:
          FailedError: it ended instead.
        """
        self._read()
        self._signal(signal.SIGSTOP)

    def measure(self, seconds: float, skip: int) -> "Turn":
        """Lets it work for at least `seconds` after `skip` pieces."""
        before = self._cpu_seconds()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):  # what it died of is read below
            self._process.stdin.write(json.dumps({"seconds": seconds, "skip": skip}) + "\n")
            self._process.stdin.flush()
        answer = self._read()
        self._signal(signal.SIGSTOP)
        cpu = self._cpu_seconds() - before
        units = answer["count"] + answer["skipped"]
        return Turn(answer["count"] / answer["seconds"], cpu / units)

    def close(self) -> None:
        """Ends it and all its processes."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        raise FailedError(lines[-1] if lines else "ended without a word")

    def _cpu_seconds(self) -> float:
        """Used so far by it and all its living processes."""
        process = psutil.Process(self._process.pid)
        times = [p.cpu_times() for p in [process, *process.children(recursive=True)]]
        return sum(t.user + t.system for t in times)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def compete(
    contenders: list[Contender], rounds: int, seconds: float, skip: int = 0
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """Measures all contenders in turns; the order turns round from round to round.

    Args:
      contenders: with different names.
      rounds: turns of each.
      seconds: length of a turn, at least.
      skip: pieces of work at the beginning of a turn that are not timed, so that what a pipeline
        had prepared in an earlier turn does not count.

    Returns:
      {name: its turns, one per round}, and {name: why it did not take part}.

    Raises:
      FailedError: the first contender, ours, failed; without it there is nothing to compare.
    """
    workers, failed = {}, {}
    with contextlib.ExitStack() as stack:
        for contender in contenders:
            worker = Worker(contender)
            stack.callback(worker.close)
            workers[contender.name] = worker
            _try(workers, failed, contender.name, worker.wait_until_ready)
        turns = {name: [] for name in workers}
        for number in range(rounds):
            for name in list(workers)[:: 1 if number % 2 == 0 else -1]:
                turn = _try(workers, failed, name, lambda w=workers[name]: w.measure(seconds, skip))
                turns[name].append(turn)
            progress(f"round {number + 1} of {rounds} done")
    if contenders[0].name in failed:
        raise FailedError(f"{contenders[0].name}: {failed[contenders[0].name]}")
    return {name: turns[name] for name in workers}, failed


def _try(workers, failed, name: str, action):
    """Returns what `action` does; if it fails, `name` is out."""
    try:
        return action()
    except FailedError as error:
        failed[name] = str(error)
        del workers[name]
    finally:
        progress(f"{name}: {failed.get(name, 'done')}")


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def output(python: str, module: str, *arguments: str) -> str:
    """What a module that checks or measures by itself prints, in a process of its own.

    Raises:
      FailedError: it failed; the last line of its errors.
    """
    done = subprocess.run(
        [python, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise FailedError(f"{module}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout.splitlines()[-1] if done.stdout.strip() else ""


def peak_mib(contender: Contender, pieces: int) -> float:
    """Largest resident size of a contender that does some pieces of work, in MiB."""
    module = f"benchmarks.contenders.{contender.module}"
    settings = json.dumps(contender.settings)
    return float(output(contender.python, "benchmarks.peak_memory", module, settings, str(pieces)))
