"""Checkpoints that appear whole or not at all, and are verified before they are trusted.

    checkpoints/00000500/state.index, state.data-…   TensorFlow's own format
    checkpoints/00000500/manifest.json               step, and SHA-256 of every file

A checkpoint is written under a hidden name, synced, and renamed, so a crash at any moment leaves
the ones before it untouched.
"""

import json
import os
import shutil
from typing import Optional

import tensorflow as tf

from msbreg_tf.errors import note
from msbreg_tf.files.whole import sha256_of, sync, sync_tree

_MANIFEST = "manifest.json"


class Checkpoints:
    """The newest checkpoints of a training, in one folder."""

    def __init__(self, folder: str, state: tf.train.Checkpoint, keep: int = 3):
        """Manages `folder`.

        Args:
          folder: created if missing.
          state: what is saved and restored; all its variables must exist.
          keep: newest checkpoints to keep.
        """
        self.folder = folder
        self.state = state
        self.keep = keep
        os.makedirs(folder, exist_ok=True)

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first; not yet verified."""
        return sorted(int(name) for name in os.listdir(self.folder) if name.isdigit())

    def save(self, step: int) -> str:
        """Writes the state as the checkpoint of `step` and drops the oldest beyond `keep`.

        Raises:
          OSError or tf.errors.OpError: it could not be written; earlier checkpoints are untouched.
        """
        final = self._path(step)
        if os.path.exists(final):  # the same run saves the same state at the same step
            return final
        partial = os.path.join(self.folder, f".partial-{step}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            os.makedirs(partial)
            self.state.write(os.path.join(partial, "state"))
            _write_manifest(partial, step)
            os.rename(partial, final)
            sync(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self._path(old), ignore_errors=True)
        return final

    def restore_newest(self) -> Optional[int]:
        """Restores the newest checkpoint that is whole.

        Returns:
          Its step, or None if there is no checkpoint at all.

        Raises:
          ValueError: there are checkpoints, but all are damaged, or they are of another model.
        """
        for name in os.listdir(self.folder):  # what an interrupted save left behind
            if name.startswith(".partial-"):
                shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)
        damaged = []
        for step in reversed(self.steps()):
            damage = find_damage(self._path(step))
            if damage is None:
                self.restore(step)
                self._set_aside(damaged)
                return step
            note(f"checkpoint {step} is damaged ({damage}): trying the one before.")
            damaged.append(step)
        if damaged:
            raise ValueError(
                f"all checkpoints in {self.folder} are damaged: {damaged}. Restore one from a "
                "backup, or delete the folder to start again."
            )
        return None

    def restore(self, step: int) -> None:
        """Restores the checkpoint of `step`, which is known to be whole.

        Raises:
          ValueError: it is of another model.
        """
        try:
            self.state.read(os.path.join(self._path(step), "state")).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"the checkpoint {self._path(step)} does not fit this model, though the settings "
                "are the same: was it written by another version? Choose another --workdir."
            ) from error

    def _set_aside(self, damaged: list[int]) -> None:
        for step in damaged:
            aside = os.path.join(self.folder, f"damaged-{step}")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(self._path(step), aside)

    def _path(self, step: int) -> str:
        return os.path.join(self.folder, f"{step:08d}")


def find_damage(folder: str) -> Optional[str]:
    """Says what is wrong with the checkpoint in `folder`; None if it is whole."""
    try:
        with open(os.path.join(folder, _MANIFEST)) as file:
            expected = json.load(file)["sha256"]
    except (OSError, ValueError, KeyError) as error:
        return f"{_MANIFEST} is unreadable: {error}"
    for name, digest in expected.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            return f"{name} is missing"
        if sha256_of(path) != digest:
            return f"{name} was truncated or changed"
    return None


def _write_manifest(folder: str, step: int) -> None:
    names = sorted(os.listdir(folder))
    digests = {name: sha256_of(os.path.join(folder, name)) for name in names}
    with open(os.path.join(folder, _MANIFEST), "w") as file:
        json.dump({"step": step, "sha256": digests}, file, indent=2)
    sync_tree(folder)
