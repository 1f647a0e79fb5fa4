"""Returns elements in step order although they arrive in any order; missing ones are made here."""

import enum
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Optional

from msbreg_tf.errors import RunFailedError, note, one_line

# Seconds. The first element of a new job takes longest: workers read and compile before it.
_POLL = 0.5
_PATIENCE_AT_FIRST = 300.0
_PATIENCE = 60.0
_PROBE_AFTER = 5.0
_SAY_AFTER = 5.0
_OUTAGE = 10.0
_LONGEST = 400  # characters of what the sender says


class _State(enum.Enum):
    """How the element that is due stands."""

    ARRIVING = enum.auto()  # something is there to be taken
    QUIET = enum.auto()  # nothing is, but it may still come
    FULL = enum.auto()
    FINISHED = enum.auto()
    SILENT = enum.auto()


# The states in which the due element is computed on this machine, and why.
_WHY_HERE = {
    _State.FULL: "{count} later ones came before it",
    _State.FINISHED: "the workers have finished without it",
    _State.SILENT: (
        "no worker has sent a batch for {seconds:.0f} s; so are the next ones, until one does"
    ),
}


class OrderedReader:
    """Hands out the element of each step, in order, even if elements arrive late, twice or never.

    A thread receives. At most `limit` elements wait for their turn; when as many have come before
    the one that is due, or none came for a while, the due one is computed on this machine, by the
    same pure function of the step. So neither order nor loss changes a bit of what is handed out.
    """

    def __init__(
        self,
        receive: Callable[[int], Iterable[tuple[int, Any]]],
        make_here: Callable[[int], Any],
        why_unreachable: Callable[[], Optional[str]],
        *,
        name: str,
        first: int,
        limit: int,
    ):
        """Starts to receive.

        Args:
          receive: step → (step, element) of all steps from there on, in any order; may block.
          make_here: step → element.
          why_unreachable: None if the sender's host answers, else the reason.
          name: the sender, as messages call it.
          first: first step.
          limit: elements that may wait.
        """
        self._receive, self._make_here = receive, make_here
        self._why_unreachable = why_unreachable
        self._name, self._limit = name, limit
        self._due = first
        self._waiting = {}
        self._arrivals = queue.Queue(maxsize=1)
        self._error: Optional[Exception] = None
        self._heard, self._patience = time.monotonic(), _PATIENCE_AT_FIRST
        self._outage_since: Optional[float] = None
        self._silent = self._said_waiting = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_receiving, name=name, daemon=True)
        self._thread.start()

    def element(self, step: int) -> Any:
        """The element of `step`; steps must be asked for one after the other.

        Raises:
          RunFailedError: the sender failed or can't be reached any more.
        """
        self._due = step
        while step not in self._waiting:
            state = self._state()
            if state in (_State.QUIET, _State.SILENT) and self._quiet_for() > _PROBE_AFTER:
                self._fail_after_long_outage()
            if state is _State.QUIET and self._quiet_for() > _SAY_AFTER:
                self._say_what_it_waits_for(step)
            if state in _WHY_HERE:
                self._say_why_here(step, state)
                return self._make_here(step)
            self._take()
        return self._waiting.pop(step)

    def close(self) -> None:
        """Ends the thread as soon as it can be ended."""
        self._closed.set()

    def _state(self) -> "_State":
        """How the element that is due stands.

        Raises:
          RunFailedError: the reader is closed, or the sender failed.
        """
        if self._closed.is_set():
            raise RunFailedError(f"{self._name}: closed.")
        if len(self._waiting) >= self._limit:
            return _State.FULL
        ended = not self._thread.is_alive()  # asked before the queue is, or the last one is missed
        if not self._arrivals.empty():
            return _State.ARRIVING
        if self._error is not None:
            raise RunFailedError(
                f"{self._name}: {one_line(self._error, _LONGEST)} Workers need the same version of "
                "this project and of TensorFlow, and the images under the same paths as here."
            ) from self._error
        if ended:
            return _State.FINISHED
        return _State.SILENT if self._quiet_for() > self._patience else _State.QUIET

    def _say_what_it_waits_for(self, step: int) -> None:
        if not self._said_waiting:
            self._said_waiting = True
            left = self._patience - self._quiet_for()
            note(
                f"{self._name}: waiting for the batch of step {step:,}. Workers send it; without "
                f"any, this machine makes it in {left:.0f} s. Start one with `python -m "
                "tools.data_service --role=worker --dispatcher=…`."
            )

    def _say_why_here(self, step: int, state: "_State") -> None:
        if not self._silent:
            reason = _WHY_HERE[state].format(count=len(self._waiting), seconds=self._quiet_for())
            print(f"{self._name}: step {step:,} is computed on this machine: {reason}.", flush=True)
        self._silent = state is _State.SILENT

    def _fail_after_long_outage(self) -> None:
        reason, now = self._why_unreachable(), time.monotonic()
        if reason is None:
            self._outage_since = None
            return
        self._outage_since = self._outage_since or now
        if now - self._outage_since > _OUTAGE:
            raise RunFailedError(
                f"{self._name}: the dispatcher is gone ({reason}). Start it again, and then the "
                "same command; checkpoints are kept. Without --data_service it continues too."
            )

    def _take(self) -> None:
        try:
            step, element = self._arrivals.get(timeout=_POLL)
        except queue.Empty:
            return
        self._heard, self._patience = time.monotonic(), _PATIENCE
        self._said_waiting = False
        if step >= self._due:  # else it was computed here meanwhile
            self._waiting[step] = element
            if self._silent:
                print(f"{self._name}: batches arrive again, at step {step:,}.", flush=True)
            self._silent = False

    def _quiet_for(self) -> float:
        return time.monotonic() - self._heard

    def _keep_receiving(self) -> None:
        start = self._due
        try:
            while start is not None:
                start = self._receive_from(start)
        except Exception as error:  # whatever it is, `element` will say it
            self._error = error

    def _receive_from(self, start: int) -> Optional[int]:
        """Receives until the end; returns where to begin anew, or None."""
        for arrival in self._receive(start):
            if not self._put(arrival):
                return None
            # Far behind what was computed here while no worker was alive, and they would stay so.
            if arrival[0] + self._limit < self._due:
                return self._due
        return None

    def _put(self, arrival: tuple[int, Any]) -> bool:
        while not self._closed.is_set():
            try:
                self._arrivals.put(arrival, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False
