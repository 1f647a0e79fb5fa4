"""A turn counts what was done in it, and nothing of its warm-up and skipped pieces."""

import io
import json

import pytest

from benchmarks import turns


@pytest.fixture
def clock(monkeypatch):
    """A clock that each reading moves on by one second."""
    now = iter(range(1000))
    monkeypatch.setattr(turns.time, "perf_counter", lambda: float(next(now)))


def test_turn_counts_only_its_own_pieces(clock):
    words = io.StringIO(
        json.dumps({"seconds": 3, "skip": 2}) + "\n" + '{"seconds": 1, "skip": 0}\n'
    )
    answers = io.StringIO()
    worker = turns.Turns(words, answers, warm_up=2)
    for _ in range(2 + 2 + 3):  # warm-up, skipped, timed: a second each
        worker.tick(10)
    ready, answer = map(json.loads, answers.getvalue().splitlines())
    assert ready == {"ready": True}
    assert answer == {"count": 30, "seconds": 3.0, "skipped": 20}
