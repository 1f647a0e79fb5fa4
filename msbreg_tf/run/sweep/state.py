"""What was done of a point: its folder, its stages, its lock."""

import contextlib
import json
import os
from typing import Any, Optional

from msbreg_tf.errors import RunFailedError
from msbreg_tf.files.lock import Lock
from msbreg_tf.files.whole import fingerprint_of_json, write_text_whole
from msbreg_tf.run.sweep.record import Sweep

LOG = "sweep.log"
TRAIN = "train"
OWN = ".sweep"


def read_state(folder: str) -> dict[str, Any]:
    """What was done of a point: {"done": {stage: seconds}, "failed": {…} or None, "job": id}."""
    try:
        with open(os.path.join(folder, OWN, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError):
        state = {}
    return {"done": {}, "failed": None, "job": None, **state}


def write_state(folder: str, **changes: Any) -> dict[str, Any]:
    """Changes entries of a point's state; see `read_state`."""
    state = read_state(folder) | changes
    os.makedirs(os.path.join(folder, OWN), exist_ok=True)
    write_text_whole(os.path.join(folder, OWN, "state.json"), json.dumps(state, indent=1))
    return state


def stages(sweep: Sweep) -> list[str]:
    """What is done of every run: "train", then an evaluation with the fingerprint of its flags."""
    return [TRAIN, *(f"{name} {fingerprint_of_json(f)}" for name, f in sweep.evaluations.items())]


def missing(sweep: Sweep, name: str) -> list[str]:
    """The stages of a run that are not done yet."""
    folder = sweep.folder(name)
    done = read_state(folder)["done"]
    if TRAIN in done and newest_export(folder) is None:  # somebody has removed it
        return stages(sweep)
    return [stage for stage in stages(sweep) if stage not in done]


def take(sweep: Sweep, name: str, wait: bool = False) -> Optional[Lock]:
    """The lock of a point; None if somebody has it.

    Raises:
      OSError: its folder can't be made or written.
    """
    folder = os.path.join(sweep.folder(name), OWN)
    os.makedirs(folder, exist_ok=True)
    try:
        return Lock(folder, f"the point {name}", wait=wait)
    except RunFailedError:
        return None


def newest_export(folder: str) -> Optional[str]:
    """The newest export of a run; None if there is none."""
    with contextlib.suppress(OSError):
        steps = [n for n in os.listdir(os.path.join(folder, "export")) if n.isdigit()]
        if steps:
            return os.path.join(folder, "export", max(steps, key=int))
    return None
