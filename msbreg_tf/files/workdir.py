"""The folder of a run: whose it is, who uses it now, and where things lie in it."""

import fcntl
import json
import os
from typing import Any

from msbreg_tf.errors import RunFailedError
from msbreg_tf.files.whole import write_text_whole

# Version of what a training computes from its settings: seeds, views, losses, updates. Whoever
# changes any of these counts it up, and a run that was begun before is not continued.
# 2: an operation's random numbers depend on its name, not on its place among the others.
ARITHMETIC = 2


class Workdir:
    """`--workdir`, held by one process at a time; of several workers, by the chief.

    run.json        version of the arithmetic, settings and images the run was started with
    broken_files    image files that could not be read
    metrics.jsonl   one line every --log_every steps
    checkpoints/    see `checkpoints.py`
    tensorboard/    event files
    export/<step>/  see `export.py`

    Another worker's broken_files and error.txt end in its number: broken_files.1.
    """

    def __init__(self, path: str, holder: bool = True):
        """Creates the folder and takes its lock, which ends with the process.

        Args:
          path: the folder.
          holder: False for a worker that only reads what the chief has written there.

        Raises:
          ValueError: no path, or a folder that can't be written.
          RunFailedError: another process holds the lock.
        """
        if not path:
            raise ValueError(
                "--workdir is missing: name a folder, for example --workdir=runs/first."
            )
        self.path = os.path.abspath(os.path.expanduser(path))
        self._lock = None
        if not holder:
            return
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
        except OSError as error:
            raise ValueError(
                f"--workdir={path}: its file system can't lock files ({error.strerror}). Choose a "
                "folder on another one."
            ) from error

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            self._lock.close()

    def file(self, *parts: str) -> str:
        """Path of something in the folder."""
        return os.path.join(self.path, *parts)

    def claim(self, settings: dict[str, Any], facts: dict[str, Any], defaults: dict) -> None:
        """Records what the run is, or checks that it is the one recorded here before.

        Args:
          settings: {flag name: value} of all flags that decide the result.
          facts: {what: value} of what else decides it, such as the images found.
          defaults: values of settings that an older record lacks.

        Raises:
          ValueError: the folder holds a run that differs; the message lists the differences.
        """
        current = json.loads(
            json.dumps({"arithmetic": ARITHMETIC, "settings": settings, "facts": facts})
        )
        path = self.file("run.json")
        if not os.path.exists(path):
            if self._lock is None:
                raise ValueError(
                    f"--workdir={self.path}: run.json, which worker 0 has written, is not there. "
                    "Give all workers the same folder, on storage that all of them see."
                )
            write_text_whole(path, json.dumps(current, indent=2))
            return
        recorded = _read_record(path)
        if recorded["arithmetic"] != ARITHMETIC:
            raise ValueError(
                f"--workdir={self.path} holds a run that another version of msbreg_tf began, whose "
                f"arithmetic differs (version {recorded['arithmetic']} there, {ARITHMETIC} here): "
                "continued here it would be neither run. Finish it with that version, or choose "
                "another --workdir."
            )
        recorded["settings"] = json.loads(json.dumps(defaults)) | recorded["settings"]
        differing = [
            f"{prefix}{name}: {there.get(name)} there, {here.get(name)} now"
            for prefix, there, here in (
                ("--", recorded["settings"], current["settings"]),
                ("", recorded["facts"], current["facts"]),
            )
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differing:
            raise ValueError(
                f"--workdir={self.path} holds another run ({'; '.join(differing)}). Make these "
                "equal to continue it, or choose another --workdir."
            )


def _read_record(path: str) -> dict[str, Any]:
    try:
        with open(path) as file:
            content = json.load(file)
        record = {name: dict(content[name]) for name in ("settings", "facts")}
        return {"arithmetic": content.get("arithmetic", 1), **record}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}), so nobody can tell which run this --workdir holds. "
            "Restore it from a backup, or choose another --workdir."
        ) from error
