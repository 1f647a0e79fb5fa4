"""How much memory there is, and how much a process and its GPU use."""

import os
import subprocess
import sys
from typing import Optional

_CGROUP = "/sys/fs/cgroup/memory."


def now(on_gpu: bool) -> int:
    """Bytes that this process uses; on the first GPU, if `on_gpu`."""
    return _on_gpu()["current"] if on_gpu else _of_status("VmRSS") or _largest()


def peak(on_gpu: bool) -> int:
    """The most bytes that this process has used; on the first GPU, if `on_gpu`."""
    return _on_gpu()["peak"] if on_gpu else _of_status("VmHWM") or _largest()


def available() -> Optional[int]:
    """Bytes of memory that programs may still take; None where that is not known."""
    free = _field("/proc/meminfo", "MemAvailable")
    try:  # a container's limit
        with open(f"{_CGROUP}max") as limit, open(f"{_CGROUP}current") as current:
            allowed = int(limit.read()) - int(current.read())
    except (OSError, ValueError):  # none, or "max"
        return free
    return allowed if free is None else min(free, allowed)


def of_first_gpu() -> Optional[int]:
    """Bytes of memory of the first GPU, as nvidia-smi says; None if it does not."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _on_gpu() -> dict[str, int]:
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")


def _of_status(field: str) -> Optional[int]:
    # Not getrusage's ru_maxrss, in which a new process begins with what its parent had.
    return _field("/proc/self/status", field)


def _field(path: str, name: str) -> Optional[int]:
    """A line "name:   123 kB" of a file of Linux, in bytes."""
    if not os.path.exists(path):
        return None
    with open(path) as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _largest() -> int:
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
