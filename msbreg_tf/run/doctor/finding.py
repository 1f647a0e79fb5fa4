"""What a check is asked, and what it says."""

import os
from typing import NamedTuple, Optional

from msbreg_tf.errors import as_typed
from msbreg_tf.run.config import Config

OK, ATTENTION, FAILURE = "ok", "attention", "failure"


class Subject(NamedTuple):
    """What is checked.

    Attributes:
      config: the recipe.
      cache_dir: where evaluations keep features; empty for nowhere.
    """

    config: Config
    cache_dir: str = ""

    @property
    def workdir(self) -> str:
        """The run's folder, which need not exist; without --workdir, the folder that we are in."""
        return os.path.abspath(os.path.expanduser(self.config.run.workdir or "."))


class Finding(NamedTuple):
    """What a check found.

    Attributes:
      name: of the check.
      state: OK; ATTENTION, if training can run but something is amiss; FAILURE, if it can not.
      found: in a full sentence.
      remedy: what to do about it, or nothing.
    """

    name: str
    state: str
    found: str
    remedy: str = ""

    def line(self) -> str:
        """The finding as one line."""
        text = " ".join(f"{self.found} {self.remedy}".split())
        return as_typed(f"{self.state:<9}  {self.name}: {text}")


def size(count: float) -> str:
    """A number of bytes in words: "12.3 MiB"."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def existing_folder(path: str) -> str:
    """The folder `path`, or the nearest one above it that exists, whose disk it will be on."""
    folder: Optional[str] = os.path.abspath(os.path.expanduser(path))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return folder
