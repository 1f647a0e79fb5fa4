"""A part of the race: a folder, what is asked for in it, and the processes that do it.

A part that has `result.json` is done and is never done again; one that was killed begins anew.
Several races may share a folder: whoever holds a part's lock works on it. All processes of a part
die with the race.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from benchmarks.arena import PEERS as PEERS_PYTHON
from benchmarks.arena import ROOT
from benchmarks.methods import claim
from benchmarks.turns import die_with_parent
from msbreg_tf.errors import RunFailedError, differences, first_of
from msbreg_tf.files.whole import write_text_whole

RESULT, REQUEST, LOG = "result.json", "request.json", "log.txt"
_POLL_SECONDS = 2.0
# A GPU is for the training beside the feeder; and evaluation is the same arithmetic for everyone.
_ON_CPU = ("feeder", "evaluate")
_SHOWN = 3  # settings that differ, in a message


@dataclasses.dataclass(frozen=True)
class Part:
    """One thing to do.

    Attributes:
      folder: of its files; its name tells it from others.
      label: for a person: "search simclr rate=4,temperature=0.2".
      request: all that decides its result, as plain JSON values.
      work: (folder, request) → the result, as plain JSON values.
    """

    folder: str
    label: str
    request: Mapping[str, Any]
    work: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

    def result(self) -> Optional[dict[str, Any]]:
        """What it gave, if it is done.

        Raises:
          ValueError: what is there was asked for with other settings.
        """
        found = read(os.path.join(self.folder, RESULT))
        if found is None:
            return None
        there, now = _flat(found["request"]), _flat(_plain(self.request))
        if differing := differences(there, now):
            raise ValueError(
                f"{self.folder}: it was done with other settings "
                f"({first_of(differing, _SHOWN)}). Make these equal, remove that folder, "
                "or choose another --workdir, or another --name for other flags of ours."
            )
        return found

    def attempt(self) -> bool:
        """Does it unless it is done; False if another process is at it."""
        if self.result() is not None:
            return True
        with claim(self.folder) as is_ours:
            if not is_ours:
                return False
            if self.result() is None:
                self._do()
            return True

    def _do(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        request = _plain(self.request)
        write_text_whole(os.path.join(self.folder, REQUEST), json.dumps(request, indent=1))
        started = time.time()
        result = dict(self.work(self.folder, request))
        whole = {"request": request, **result, "took": round(time.time() - started, 1)}
        write_text_whole(os.path.join(self.folder, RESULT), json.dumps(whole, indent=1))


def complete(parts: Sequence[Part], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Does what is not done, waits for what others do, and returns all results in order."""
    left = [part for part in parts if part.result() is None]
    while left:
        held = []
        for part in left:
            if not part.attempt():
                held.append(part)
            else:
                say(f"{part.label}: {outcome(part.result())}")
        if len(held) == len(left):
            time.sleep(_POLL_SECONDS)
        left = held
    return [part.result() for part in parts]


def outcome(result: Mapping[str, Any]) -> str:
    """A result in a few words."""
    if "diverged" in result:
        return f"diverged at step {result['diverged']}"
    words = [f"{name} {value:.1f}" for name, value in result.get("scores", {}).items()]
    if "seconds" in result:
        words.append(f"{result['seconds']:.0f} s for {result['request']['steps']:,} steps")
    if "fastest" in result:
        words.append(f"{form_name(result['fastest'])} is fastest")
    return ", ".join(words) or "done"


def form_name(form: Mapping[str, Any]) -> str:
    """'bfloat16, channels_last'."""
    return form["precision"] + (", channels_last" if form.get("channels_last") else "")


def read(path: str) -> Optional[dict[str, Any]]:
    """A JSON file, or None where there is none."""
    with contextlib.suppress(FileNotFoundError), open(path) as file:
        return json.load(file)
    return None


def run(folder: str, modules: Sequence[str], threads: int) -> None:
    """Runs modules of this package at the same time, each one's output the next one's input.

    Args:
      folder: of the part; its log gets what they print.
      modules: below `benchmarks.race`; those in `peers` run in the peers' environment.
      threads: that each may use.

    Raises:
      RunFailedError: one failed; the last line of the log.
    """
    count = str(threads)
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, count)}
    without_gpu = {**environment, "CUDA_VISIBLE_DEVICES": "-1"}
    path = os.path.join(folder, LOG)
    processes, source = [], subprocess.DEVNULL
    with open(path, "ab") as log:
        for module in modules:
            python = PEERS_PYTHON if module.startswith("peers.") else sys.executable
            is_last = module == modules[-1]
            process = subprocess.Popen(
                [python, "-m", f"benchmarks.race.{module}", os.path.abspath(folder)],
                cwd=ROOT,
                env=without_gpu if module in _ON_CPU else environment,
                stdin=source,
                stdout=log if is_last else subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_parent,  # from its first moment: imports alone take seconds
            )
            if source is not subprocess.DEVNULL:
                source.close()  # so that a process without a reader ends
            source = process.stdout
            processes.append(process)
    codes = [process.wait() for process in reversed(processes)][::-1]
    # What reads may end before what writes, whose pipe is then broken: the reader has the reason.
    if codes[-1] or (any(codes) and not os.path.exists(os.path.join(folder, "training.json"))):
        failed = modules[-1] if codes[-1] else modules[0]
        raise RunFailedError(f"benchmarks.race.{failed} failed: {_last_line(path)} (see {path})")


def _last_line(path: str) -> str:
    with open(path, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1][:300] if lines else "without a word"


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one dictionary."""
    found = {}
    for name, each in value.items():
        if isinstance(each, dict):
            found |= _flat(each, f"{prefix}{name}.")
        else:
            found[prefix + name] = each
    return found
