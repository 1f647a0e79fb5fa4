"""Starts the stand-in for TensorFlow Serving in a process of its own."""

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[3]


class StandIn(NamedTuple):
    """A running stand-in.

    Attributes:
      process: kill it to see what clients do then.
      rest: port of REST.
      grpc: port of gRPC.
      version: the one that it serves.
      warmed_up: how many requests it replayed.
    """

    process: subprocess.Popen
    rest: int
    grpc: int
    version: int
    warmed_up: int


@contextlib.contextmanager
def stand_in(base: pathlib.Path, *flags: str) -> Iterator[StandIn]:
    """Serves the newest version below `base` as the model "encoder"."""
    command = [sys.executable, "-m", "tests.evaluation.serving.stand_in", str(base), *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.communicate()[1])
        yield StandIn(process, **json.loads(line))
    finally:
        process.kill()
        process.communicate()
