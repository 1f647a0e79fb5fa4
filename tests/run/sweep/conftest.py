import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[3]
STUB = pathlib.Path(__file__).parent / "stub"


class Sweeps:
    """Starts sweeps in processes of their own, whose trainings and evaluations are stubs."""

    def __init__(self, workdir: pathlib.Path):
        self.workdir = workdir

    def environment(self, **changes: str) -> dict[str, str]:
        """Of the processes."""
        path = os.pathsep.join([str(STUB), str(ROOT)])
        return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **changes}

    def start(self, *flags: str, **changes: str) -> subprocess.Popen:
        """Begins a sweep; `changes` are of the environment."""
        command = [sys.executable, "-m", "tools.sweep", f"--workdir={self.workdir}", *flags]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(**changes), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *flags: str, **changes: str) -> tuple[int, str, str]:
        """Runs a sweep to its end: exit code, what it printed, and its errors."""
        process = self.start(*flags, **changes)
        printed, errors = process.communicate(timeout=60)
        said = [line for line in errors.splitlines(True) if "no picture is drawn" not in line]
        return process.returncode, printed, "".join(said)

    def starts(self, name: str) -> list[str]:
        """A line for every training that was begun in a point's folder, or that saved there."""
        path = self.workdir / name / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, name: str) -> int:
        """Waits until the training of a point has begun; returns its process."""
        for _ in range(1000):
            if lines := self.starts(name):
                return int(lines[-1].split()[0])
            time.sleep(0.02)
        raise AssertionError(f"{name} was not begun")


@pytest.fixture
def sweeps(tmp_path):
    return Sweeps(tmp_path / "sweep")
