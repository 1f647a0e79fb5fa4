"""`metrics.jsonl`: one JSON object a line, a pure function of the run's settings.

It holds no clock times, so the file of a killed and resumed run equals, byte for byte, that of an
uninterrupted one; throughput is in TensorBoard.
"""

import json
import os
from typing import Any

from msbreg_tf.files.whole import write_text_whole


class MetricsFile:
    """Appends lines `{"step": …, name: value, …}` and can go back to an earlier step."""

    def __init__(self, path: str):
        self.path = path

    def append(self, step: int, values: dict[str, Any]) -> None:
        """Adds one line and waits until it is on disk, as a later checkpoint relies on it."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def drop_after(self, step: int) -> None:
        """Removes the lines of steps after `step`, and a last line that was cut off."""
        if not os.path.exists(self.path):
            return
        kept = [line for line, at in self._lines() if at <= step]
        write_text_whole(self.path, "".join(kept))

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first."""
        return [json.loads(line) for line, _ in self._lines()]

    def _lines(self):
        with open(self.path) as file:
            for line in file:
                if line.endswith("\n"):
                    yield line, self._step(line)

    def _step(self, line: str) -> int:
        try:
            return json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} holds a line that is no record of a step: {line.strip()[:80]!r}. "
                "Remove the line or the file."
            ) from error
