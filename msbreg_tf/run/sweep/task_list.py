"""The points of a sweep as lines of a shell, for a scheduler that we don't know."""

import os
import shlex
import sys
from collections.abc import Sequence

from msbreg_tf.run.sweep.record import Sweep
from msbreg_tf.run.sweep.state import missing


def lines(sweep: Sweep, names: Sequence[str]) -> list[str]:
    """A command line for every run that is not done; each runs its point from where it stands.

    They may run in any order, at the same time, and on any machine that sees the same folders.

    Args:
      sweep: recorded in its folder, where the lines look their settings up.
      names: of the runs.
    """
    where = f"cd {shlex.quote(os.getcwd())} && "
    start = [sys.executable, "-m", "msbreg_tf.commands.main", "sweep"]
    return [
        where + shlex.join([*start, f"--workdir={sweep.workdir}", f"--only={name}"])
        for name in names
        if missing(sweep, name)
    ]
