"""Peak memory and time of a step in M micro-batches, each M in a process of its own.

    python -m benchmarks.accumulation_memory --micro_batches=1,2,4,8 \
        --encoder=resnet18 --image_size=96 --batch_size=128 --num_views=2

All other flags are settings of msbreg_tf.train. The images are noise: memory does not depend on
them. Prints, for each M, the process's largest resident set before the first step and after the
last, and the time of a step after the first. The C library is told to give freed memory back at
once, or its habits would be measured too.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

from benchmarks.peak_memory import peak_mib  # isort: skip
from msbreg_tf.commands import cli  # isort: skip
from msbreg_tf.run.config import PARTS, Config  # isort: skip

STEPS = 3
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--micro_batches", default="1,4", help="values of M, joined by commas")
    parser.add_argument("--measure", action="store_true", help="this process's own step, as JSON")
    own, rest = parser.parse_known_args()
    if own.measure:
        print(json.dumps(measure(rest)))
        return
    print("M    MiB before    MiB at peak    of the step    s per step")
    for parts in own.micro_batches.split(","):
        arguments = ["--measure", *rest, f"--accumulate_steps={parts}"]
        command = [sys.executable, "-m", "benchmarks.accumulation_memory", *arguments]
        environment = {**os.environ, **GIVE_BACK}
        output = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        ).stdout
        m = json.loads(output.splitlines()[-1])
        step = m["after"] - m["before"]
        print(f"{parts:<4} {m['before']:10,.0f} {m['after']:14,.0f} {step:14,.0f} {m['s']:13.1f}")


def measure(settings: list[str]) -> dict[str, float]:
    """Runs a few steps; {"before": MiB, "after": MiB, "s": seconds of a step after the first}."""
    import tensorflow as tf

    from msbreg_tf.run.build import build_model

    command = cli.Command(PARTS, print)
    parts, _ = cli.read_flags(command, ["accumulation_memory", *settings])
    config = Config(*parts)
    model = build_model(config, total_steps=STEPS)
    size = config.data.image_size
    shape = [config.optimizer.batch_size, config.objective.num_views, size, size, 3]
    views = tf.cast(tf.random.stateless_uniform(shape, [0, 0], 0, 256, tf.int32), tf.uint8)
    step = tf.function(model.train_step)
    graph = step.get_concrete_function(views)
    before = peak_mib()
    graph(views)
    started = time.monotonic()
    for _ in range(STEPS - 1):
        graph(views)
    return {
        "before": before,
        "after": peak_mib(),
        "s": (time.monotonic() - started) / (STEPS - 1),
    }


if __name__ == "__main__":
    main()
