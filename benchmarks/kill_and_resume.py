"""Kills a run with SIGKILL at random moments, continues it each time, and compares it bit for bit.

    python -m benchmarks.kill_and_resume --kills=5 --workdir=runs/killed --reference=runs/whole \
        --flagfile=flags/quickstart.cfg

`--during_checkpoints` of the kills happen while a checkpoint is being written: the process leaves
it unfinished, or the kill is not counted as such. `--reference` is trained first, uninterrupted,
unless it is finished already. All other flags go to msbreg_tf.train. Ends with exit code 1 if a
process failed, if a byte of metrics.jsonl or a bit of a tensor differs, or if the run ended before
it was killed so often.
"""

import argparse
import contextlib
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--during_checkpoints", type=int, default=0, help="of these kills")
    parser.add_argument("--delay", type=float, default=3, help="most seconds after a random step")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workdir", required=True, help="of the killed run; must not exist")
    parser.add_argument("--reference", required=True, help="of the uninterrupted run")
    own, flags = parser.parse_known_args()
    if os.path.exists(own.workdir):
        sys.exit(f"error: --workdir={own.workdir} exists. Choose another.")
    if not os.path.exists(os.path.join(own.reference, "export")):
        subprocess.run(command(flags, own.reference), check=True)
    last = max(steps(own.reference))
    complete = kill_repeatedly(own, flags, last)
    subprocess.run(command(flags, own.workdir), check=True)
    equal = compare(own.workdir, own.reference, last)
    sys.exit(0 if equal and complete else 1)


def kill_repeatedly(own: argparse.Namespace, flags: list[str], last: int) -> bool:
    """Starts and kills the run; prints the counts, and returns whether they are what was asked."""
    moments = random.Random(own.seed)
    made = in_checkpoint = 0
    # The end is left out, since a run that is over can't be killed.
    targets = [moments.uniform(0, 0.8 * last) for _ in range(own.kills)]
    for target in sorted(targets):
        aim = in_checkpoint * own.kills < own.during_checkpoints * (made + 1)
        started = time.time()
        process = subprocess.Popen(command(flags, own.workdir))
        wait_until(lambda s=started, at=target: reached(own.workdir, at, s), process, every=0.01)
        if aim:
            wait_until(lambda since=started: unfinished(own.workdir, since), process, every=0.0005)
        else:
            time.sleep(own.delay * moments.random())
        process.kill()
        code = process.wait()
        if code != -signal.SIGKILL:
            print(f"a run ended by itself with exit code {code} before kill {made + 1}")
            break
        made += 1
        writing = bool(unfinished(own.workdir, started))
        in_checkpoint += writing
        where = ", while a checkpoint was being written" if writing else ""
        print(f"kill {made} near step {max(steps(own.workdir), default=0)}{where}", flush=True)
    print(f"{made} kills made, {in_checkpoint} of them while a checkpoint was being written")
    return made == own.kills and in_checkpoint >= own.during_checkpoints


def wait_until(condition: Callable[[], Any], process: subprocess.Popen, every: float) -> None:
    """Returns once `condition` holds or the process ended."""
    while process.poll() is None and not condition():
        time.sleep(every)


def reached(workdir: str, step: float, since: float) -> bool:
    """Whether the process that was started at the time `since` is at `step`."""
    path = os.path.join(workdir, "metrics.jsonl")
    logs = os.path.exists(path) and os.stat(path).st_mtime >= since  # it began with cutting it
    return logs and max(steps(workdir), default=0) >= step


def unfinished(workdir: str, since: float) -> list[str]:
    """Checkpoints that were begun after the time `since` and have not got their name yet."""
    found = []
    for path in glob.glob(os.path.join(workdir, "checkpoints", ".partial-*")):
        with contextlib.suppress(FileNotFoundError):  # it got its name just now
            if os.stat(path).st_mtime >= since:
                found.append(path)
    return found


def command(flags: list[str], workdir: str) -> list[str]:
    return [sys.executable, "-m", "msbreg_tf.train", *flags, f"--workdir={workdir}"]


def steps(workdir: str) -> list[int]:
    """Steps logged so far; the last line may be cut off."""
    path = os.path.join(workdir, "metrics.jsonl")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line)["step"] for line in file if line.endswith("\n")]


def compare(ours: str, theirs: str, last: int) -> bool:
    """Prints what is equal; True if all is."""
    metrics = []
    for workdir in (ours, theirs):
        with open(os.path.join(workdir, "metrics.jsonl"), "rb") as file:
            metrics.append(file.read())
    newest = max(os.listdir(os.path.join(theirs, "checkpoints")))
    one, other = (
        tf.train.load_checkpoint(os.path.join(workdir, "checkpoints", newest, "state"))
        for workdir in (ours, theirs)
    )
    names = [name for name in other.get_variable_to_shape_map() if not name.startswith("_")]
    equal = sum(np.array_equal(one.get_tensor(n), other.get_tensor(n)) for n in names)
    print(f"All kills survived: the run continued to step {last}")
    print(f"metrics.jsonl to step {last} equal: {metrics[0] == metrics[1]}")
    print(f"tensors of checkpoint {int(newest)} equal: {equal} of {len(names)}")
    return metrics[0] == metrics[1] and equal == len(names)


if __name__ == "__main__":
    main()
