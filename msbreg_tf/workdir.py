"""The folder of a run: whose it is, who uses it now, and where things lie in it."""

import fcntl
import json
import os
from typing import Any

from msbreg_tf.errors import RunFailedError


class Workdir:
    """`--workdir`, held by one process at a time.

    run.json        settings and data the run was started with
    metrics.jsonl   one line every --log_every steps
    checkpoints/    see `checkpoints.py`
    tensorboard/    event files
    export/<step>/  see `export.py`
    """

    def __init__(self, path: str):
        """Creates the folder and takes its lock, which ends with the process.

        Raises:
          ValueError: no path, or a folder that can't be written.
          RunFailedError: another process holds the lock.
        """
        if not path:
            raise ValueError(
                "--workdir is missing: name a folder, for example --workdir=runs/first."
            )
        self.path = os.path.abspath(os.path.expanduser(path))
        try:
            os.makedirs(self.path, exist_ok=True)
            self._lock = open(os.path.join(self.path, ".lock"), "a")  # noqa: SIM115 held for life
        except OSError as error:
            raise ValueError(
                f"--workdir={path}: can't be written ({error.strerror}). Choose another folder."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailedError(
                f"--workdir={path}: another process is training there. Wait for it, or choose "
                "another folder."
            ) from error

    def close(self) -> None:
        """Gives the lock back."""
        self._lock.close()

    def file(self, *parts: str) -> str:
        """Path of something in the folder."""
        return os.path.join(self.path, *parts)

    def claim(self, description: dict[str, Any]) -> None:
        """Records what the run is, or checks that it is the one recorded here before.

        Args:
          description: flat {name: value} of all that decides the result.

        Raises:
          ValueError: the folder holds a run that differs; the message lists the differences.
        """
        path = self.file("run.json")
        if not os.path.exists(path):
            partial = path + ".partial"
            with open(partial, "w") as file:
                json.dump(description, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            return
        with open(path) as file:
            recorded = json.load(file)
        current = json.loads(json.dumps(description))
        differing = [
            f"--{name}: {recorded.get(name, 'not set')} there, {current.get(name, 'not set')} now"
            for name in sorted(recorded.keys() | current.keys())
            if recorded.get(name) != current.get(name)
        ]
        if differing:
            raise ValueError(
                f"--workdir={self.path} holds a run with other settings ({'; '.join(differing)}). "
                "Repeat its settings to continue it, or choose another --workdir."
            )
