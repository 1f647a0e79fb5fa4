"""Some steps of one side, for `benchmarks.kernels`, which reads oneDNN's log of them.

    python -m benchmarks.kernel_steps ours|peer MIXED BATCH CORE

The last line of its output is JSON: CPU ms of a step, the largest kinds of operation by the
library's own profiler, and versions.
"""

import collections
import ctypes
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable

# Before and behind each step, through the same stream as oneDNN's lines.
MARK = "benchmarks.kernels step"
WARM_UP, STEPS, PROFILED = 2, 10, 2
SIZE, NUM_VIEWS = 96, 4
_SHOWN = 12


def ours(mixed: bool, batch: int) -> tuple[Callable[[], object], Callable[[], dict], str]:
    """A step of `msbreg_tf.train`, what profiles it, and versions."""
    from benchmarks.costs.step import Point, step_on_noise

    import tensorflow as tf  # isort: skip

    step = step_on_noise(Point(batch_size=batch, num_views=NUM_VIEWS, image_size=SIZE), mixed)

    def profile():
        from benchmarks.profile_step import events, operation_times

        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder):
                for _ in range(PROFILED):
                    step()
            kinds = collections.Counter()
            for (_, kind), ms in operation_times(events(folder)).items():
                kinds[kind] += ms / PROFILED
        return kinds

    return step, profile, f"TensorFlow {tf.__version__}"


def peer(mixed: bool, batch: int) -> tuple[Callable[[], object], Callable[[], dict], str]:
    """A step of PyTorch's BYOL, what profiles it, and versions."""
    import torch

    from benchmarks.contenders import torch_byol

    torch.set_num_threads(1)
    byol = torch_byol.BYOL(mixed)
    shape = (batch, NUM_VIEWS, 3, SIZE, SIZE)
    views = torch.randint(0, 256, shape, dtype=torch.uint8)

    def step():
        return byol.step(views)

    def profile():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for _ in range(PROFILED):
                step()
        averages = found.key_averages()
        return {each.key: each.self_cpu_time_total / 1e3 / PROFILED for each in averages}

    return step, profile, f"PyTorch {torch.__version__}"


def main():
    side, mixed, batch, core = sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]), int(sys.argv[4])
    if hasattr(os, "sched_setaffinity"):  # before the library starts its threads
        os.sched_setaffinity(0, {core})
    step, profile, versions = {"ours": ours, "peer": peer}[side](mixed, batch)
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(STEPS):
        mark()
        started = time.process_time()
        step()
        seconds.append(time.process_time() - started)
    mark()
    largest = collections.Counter(profile()).most_common(_SHOWN)
    flush()
    told = {"step_ms": 1e3 * min(seconds), "operations": largest, "versions": versions}
    os.write(1, ("\n" + json.dumps(told) + "\n").encode())


def mark() -> None:
    flush()
    os.write(1, f"\n{MARK}\n".encode())


def flush() -> None:
    """What oneDNN has written through the C library, which keeps it back for a pipe."""
    ctypes.CDLL(None).fflush(None)


if __name__ == "__main__":
    main()
