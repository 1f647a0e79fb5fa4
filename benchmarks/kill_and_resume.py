"""Kills a run with SIGKILL at random moments, continues it each time, and compares it bit for bit.

    python -m benchmarks.kill_and_resume --kills=5 --workdir=runs/killed --reference=runs/whole \
        --flagfile=flags/quickstart.cfg

`--reference` is trained first, uninterrupted, unless it is finished already. All other flags go to
msbreg_tf.train. Ends with exit code 1 if a byte of metrics.jsonl or a bit of a tensor differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workdir", required=True, help="of the killed run; must not exist")
    parser.add_argument("--reference", required=True, help="of the uninterrupted run")
    own, flags = parser.parse_known_args()
    if os.path.exists(own.workdir):
        sys.exit(f"error: --workdir={own.workdir} exists. Choose another.")
    subprocess.run(command(flags, own.reference), check=True)
    last = max(steps(own.reference))
    moments = random.Random(own.seed)
    for target in sorted(moments.sample(range(1, last), own.kills)):
        process = subprocess.Popen(command(flags, own.workdir))
        while process.poll() is None and max(steps(own.workdir), default=0) < target:
            time.sleep(0.05)
        time.sleep(3 * moments.random())
        process.kill()
        code = process.wait()
        print(f"killed near step {max(steps(own.workdir), default=0)}, exit code {code}")
    subprocess.run(command(flags, own.workdir), check=True)
    sys.exit(0 if compare(own.workdir, own.reference, last) else 1)


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
    print(f"metrics.jsonl to step {last} equal: {metrics[0] == metrics[1]}")
    print(f"tensors of checkpoint {int(newest)} equal: {equal} of {len(names)}")
    return metrics[0] == metrics[1] and equal == len(names)


if __name__ == "__main__":
    main()
