"""The folder of a run: whose it is, who uses it now, and where things lie in it."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, Optional

from msbreg_tf.errors import differences, first_of
from msbreg_tf.files import lock
from msbreg_tf.files.whole import WRITING, write_text_whole

# Version of what a training computes from its settings: seeds, views, losses, updates. Whoever
# changes any of these counts it up, and a run that was begun before is not continued.
# 2: an operation's random numbers depend on its name, not on its place among the others.
# 3: JPEG is decoded accurately and upright; streamed data are in another order.
ARITHMETIC = 3

_OURS = (
    *("run.json", "metrics.jsonl", "results.jsonl", "checkpoints", "tensorboard", "export"),
    *("broken_files", "error.txt", "parts"),
)
# What people and schedulers put beside a run: logs, notes, settings.
_BESIDE = (".log", ".out", ".err", ".txt", ".cfg", ".sh", ".md", ".json", ".yaml", ".yml", ".html")
_REMEDY = "Make these equal to continue it, or choose another --workdir."
_SHOWN = 6  # differences in a message


@dataclasses.dataclass(frozen=True)
class Claim:
    """What is known of a run.

    Attributes:
      kind: "pretraining", "fine-tuning" or "comparison of starts".
      settings: {flag: value} of all flags that decide the result.
      facts: {what: value} of what else decides it, such as the images found.
      defaults: values of settings that an older record lacks.
      free: {flag: value} of flags that decide what is logged; a continued run may change them.
      why: {flag: sentence} that explains why a run can't be continued under another value.
    """

    kind: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    free: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    why: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Workdir:
    """`--workdir`, held by one process at a time; of several workers, by the chief.

    run.json        version of the arithmetic, settings and images the run was started with
    broken_files    image files that could not be read
    metrics.jsonl   one line every --log_every steps
    checkpoints/    see `checkpoints.py`
    tensorboard/    event files
    export/<step>/  see `export.py`
    parts/          of a comparison: a file for each part that is done, a folder for one in work

    Another worker's broken_files and error.txt end in its number: broken_files.1.
    """

    def __init__(self, path: Optional[str], holder: bool = True):
        """Creates the folder and takes its lock, which ends with the process.

        Args:
          path: the folder.
          holder: False for a worker that only reads what the chief has written there.

        Raises:
          ValueError: no path, or a folder that can't be written or holds other people's files.
          RunFailedError: another process holds the lock.
        """
        self.path = checked_path(path)
        self._lock: Optional[lock.Lock] = None
        if not holder:
            return
        self._is_new = not os.path.exists(self.path)
        try:
            os.makedirs(self.path, exist_ok=True)
            self._lock = lock.Lock(self.path, f"--workdir={path}")
        except OSError as error:
            raise ValueError(
                f"--workdir={path}: can't be written ({error.strerror}). Choose another folder."
            ) from error

    def close(self) -> None:
        """Gives the lock back; a new folder in which nothing was begun is removed."""
        if self._lock is None:
            return
        if self._is_new and set(os.listdir(self.path)) <= {lock.NAME}:
            self._lock.remove()
            with contextlib.suppress(OSError):  # somebody has put something into it
                os.rmdir(self.path)
        else:
            self._lock.close()
        self._lock = None

    def file(self, *parts: str) -> str:
        """Path of something in the folder."""
        return os.path.join(self.path, *parts)

    def recorded(self, fact: str) -> Optional[Any]:
        """A fact of the run that can be continued here; None if there is no such run, or no fact.

        A record that is damaged is none here: `claim` says what is wrong with it.
        """
        if self._lock is not None and not self._has_state():
            return None
        with contextlib.suppress(ValueError):
            return self._recorded(self.file("run.json"))["facts"].get(fact)

    def claim(self, run: Claim) -> dict[str, tuple[Any, Any]]:
        """Records what the run is, or checks that it is the one recorded here before.

        A run of which nothing was saved can't be continued, so another may take its place.

        Returns:
          {flag: (value before, value now)} of those that may change, and did.

        Raises:
          ValueError: the folder holds a run that differs, or one that nobody can tell; the message
            lists the differences.
        """
        current = {
            "arithmetic": ARITHMETIC,
            "kind": run.kind,
            "settings": run.settings,
            "facts": run.facts,
            "free": run.free,
        }
        current = json.loads(json.dumps(current))
        path = self.file("run.json")
        if self._lock is None and not os.path.exists(path):
            raise ValueError(
                f"--workdir={self.path}: run.json, which worker 0 has written, is not there. "
                "Give all workers the same folder, on storage that all of them see."
            )
        changed = {}
        if self._lock is None or self._has_state():
            recorded = self._recorded(path)
            self._check(recorded, current, run)
            changed = {
                name: (recorded["free"][name], value)
                for name, value in current["free"].items()
                if recorded["free"].get(name, value) != value
            }
        if self._lock is not None:
            try:
                write_text_whole(path, json.dumps(current, indent=2))
            except OSError as error:
                raise ValueError(
                    f"--workdir={self.path}: can't be written ({error.strerror}). Choose another "
                    "folder."
                ) from error
        return changed

    def _has_state(self) -> bool:
        """Whether there is anything that could be continued."""
        return any(
            name.isdigit() or folder == "parts"
            for folder in ("checkpoints", "export", "parts")
            if os.path.isdir(self.file(folder))
            for name in os.listdir(self.file(folder))
        )

    def _recorded(self, path: str) -> dict[str, Any]:
        try:
            with open(path) as file:
                content = json.load(file)
            record = {name: dict(content[name]) for name in ("settings", "facts")}
            free = dict(content.get("free", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = "is missing" if not os.path.exists(path) else f"is damaged ({error})"
            raise ValueError(
                f"--workdir={self.path}: it holds checkpoints or an export, but its run.json {what}"
                ", so nobody can tell which run they are of. Restore it from a backup, or choose "
                "another --workdir."
            ) from error
        arithmetic, kind = content.get("arithmetic", 1), content.get("kind", "pretraining")
        return {"arithmetic": arithmetic, "kind": kind, **record, "free": free}

    def _check(self, recorded: dict[str, Any], current: dict[str, Any], run: Claim) -> None:
        if recorded["kind"] != run.kind:
            raise ValueError(
                f"--workdir={self.path}: it holds a {recorded['kind']}, and this is a {run.kind}. "
                "Choose another --workdir."
            )
        if recorded["arithmetic"] != ARITHMETIC:
            raise ValueError(
                f"--workdir={self.path} holds a run that another version of msbreg_tf began, whose "
                f"arithmetic differs (version {recorded['arithmetic']} there, {ARITHMETIC} here): "
                "continued here it would be neither run. Finish it with that version, or choose "
                "another --workdir."
            )
        # Flags that were of the settings once are not any more.
        settings = json.loads(json.dumps(dict(run.defaults))) | {
            name: value for name, value in recorded["settings"].items() if name not in run.free
        }
        differing = differences(settings, current["settings"], "--")
        differing += differences(recorded["facts"], current["facts"])
        if differing:
            named = {text.partition(":")[0] for text in differing}
            reasons = [text for name, text in run.why.items() if f"--{name}" in named]
            raise ValueError(
                f"--workdir={self.path} holds another run ({first_of(differing, _SHOWN)}). "
                + " ".join(
                    [*reasons, "Make these equal to continue it, or choose another --workdir."]
                )
            )


def checked_path(path: Optional[str]) -> str:
    """The absolute path of a `--workdir`, if a run may begin or continue there.

    Raises:
      ValueError: no path, no folder, or one with files that are not of a run.
    """
    if not path:
        raise ValueError("--workdir is missing: name a folder, for example --workdir=runs/first.")
    folder = os.path.abspath(os.path.expanduser(path))
    if not os.path.lexists(folder):
        return folder
    if not os.path.isdir(folder):
        raise ValueError(f"--workdir={path}: it is a file. Name a folder.")
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ValueError(
            f"--workdir={path}: can't be read ({error.strerror}). Choose another folder."
        ) from error
    foreign = [name for name in names if not _may_be_there(name)]
    if foreign and "run.json" not in names:
        raise ValueError(
            f"--workdir={path}: it holds other files, such as {foreign[0]}. Name a new or an empty "
            "folder, or that of a run."
        )
    return folder


def _may_be_there(name: str) -> bool:
    """Whether a run, a kill at some moment of it, or who started it, has left this name."""
    return (
        name.startswith((".", *(f"{ours}." for ours in _OURS)))
        or name in _OURS
        or name.endswith((WRITING, *_BESIDE))
    )
