"""How long training takes, from the end of its first step to the end of its last."""

import time


class Stopwatch:
    """Is told of the end of every step.

    What comes before the end of the first step is start-up and compilation and does not count; that
    step then counts as much as the mean of the others. Processor time is that of this process, user
    and system, all threads.
    """

    def __init__(self):
        self._before = _now()  # for a run of one step, which has nothing else
        self._first = self._last = None
        self.steps = 0

    def tick(self) -> None:
        """A step has ended."""
        self._last = _now()
        if self._first is None:
            self._first = self._last
        self.steps += 1

    def seconds(self) -> dict[str, float]:
        """{"cpu": seconds, "wall": seconds} of all steps."""
        if self.steps < 2:
            begin, counted = self._before, 1
        else:
            begin, counted = self._first, self.steps - 1
        factor = self.steps / counted
        spent = [factor * (end - start) for start, end in zip(begin, self._last)]
        return dict(zip(("cpu", "wall"), spent))


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()
