"""One point at work: its training, then its evaluations, each a process of its own.

Whoever runs a point holds the lock of `<point>/.sweep`, which its processes inherit: as long as one
of them lives, nobody else takes the point, even if the sweep was killed. They are told to stop when
the sweep dies, and then save and end.
"""

import contextlib
import ctypes
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Optional

from msbreg_tf.errors import EXIT_PREEMPTED
from msbreg_tf.files.lock import Lock
from msbreg_tf.run.sweep.command_lines import command_line
from msbreg_tf.run.sweep.record import Sweep
from msbreg_tf.run.sweep.state import LOG, missing, read_state, write_state

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


@dataclasses.dataclass(frozen=True)
class Place:
    """What a point's processes may use.

    Attributes:
      cores: numbers of CPU cores; empty for all of this process.
      gpus: as CUDA_VISIBLE_DEVICES; None leaves it as it is.
    """

    cores: tuple[int, ...] = ()
    gpus: Optional[str] = None

    def environment(self) -> dict[str, str]:
        """Of a process there: its thread pools have the size of its cores."""
        changes = {}
        if self.cores:
            names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
            changes = dict.fromkeys(names, str(len(self.cores)))
        if self.gpus is not None:
            changes["CUDA_VISIBLE_DEVICES"] = self.gpus
            changes["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # others may be on the same one
        return {**os.environ, **changes}


class Work:
    """The stages of one point that are missing, one process after the other."""

    def __init__(self, sweep: Sweep, name: str, lock: Lock, place: Place = Place()):
        """Begins with the first process.

        Args:
          sweep: whose point it is.
          name: of the run.
          lock: of the point; given back at the end.
          place: cores and GPUs.
        """
        self.name = name
        self.place = place
        self.started = time.time()
        self.failure: Optional[str] = None
        self._sweep, self._lock = sweep, lock
        self._folder = sweep.folder(name)
        self._left = missing(sweep, name)
        self._process: Optional[subprocess.Popen] = None
        self._asked = False
        write_state(self._folder, failed=None)
        self._next()

    def poll(self) -> bool:
        """Goes on to the next process when one has ended; True while there is work."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        if code:
            self._end(f"{self._left[0].split()[0]} {_why(code, self.log)}")
            return False
        done = read_state(self._folder)["done"]
        seconds = round(time.time() - self._stage_started, 1)
        write_state(self._folder, done={**done, self._left.pop(0): seconds})
        self._next()
        return self._process is not None

    def ask_to_stop(self) -> None:
        """Asks the process to save and end."""
        if self._process is not None and not self._asked:
            self._asked = True  # a second signal would end it before it has saved
            self._process.terminate()

    def stop(self) -> None:
        """Waits until the process has saved and ended. Nothing is recorded as failed."""
        self.ask_to_stop()
        if self._process is not None:
            self._process.wait()
        self._process = None
        self._lock.close()

    @property
    def log(self) -> str:
        """File with the output of all processes."""
        return os.path.join(self._folder, LOG)

    def _next(self) -> None:
        if not self._left:
            self._end(None)
            return
        command = command_line(self._sweep, self.name, self._left[0])
        self._stage_started = time.time()
        with open(self.log, "ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.place.environment(),
                pass_fds=(self._lock.fileno(),),
                preexec_fn=_prepare(self.place.cores, os.getpid()),
                start_new_session=True,  # Ctrl-C is for the sweep, which tells it
            )

    def _end(self, failure: Optional[str]) -> None:
        self.failure, self._process = failure, None
        if failure is not None:
            write_state(self._folder, failed={"why": failure, "time": time.time()})
        self._lock.close()


def _prepare(cores: Sequence[int], parent: int) -> Callable[[], None]:
    """What a new process does before it becomes the command."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare():
        if libc is not None:
            libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
            if os.getppid() != parent:  # it died before
                os.kill(os.getpid(), signal.SIGTERM)
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)

    return prepare


def _why(code: int, log: str) -> str:
    """Why a process ended, in one line."""
    if code < 0:
        kind = signal.Signals(-code).name
        memory = "; was there enough memory?" if code == -signal.SIGKILL else ""
        return f"was killed by {kind}{memory}"
    if code == EXIT_PREEMPTED:
        return "was told to stop, and saved"
    with contextlib.suppress(OSError), open(log, errors="replace") as file:
        lines = [line.strip() for line in file.read()[-(1 << 16) :].splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        if errors or lines:
            return f"ended with code {code}: {(errors or lines)[-1].removeprefix('error: ')[:300]}"
    return f"ended with code {code}"
