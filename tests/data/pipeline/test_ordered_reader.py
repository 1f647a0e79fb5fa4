"""Order, loss and silence, with a sender that does as the test says."""

import random
import threading
import time

import pytest

from msbreg_tf.data.pipeline import ordered_reader
from msbreg_tf.data.pipeline.ordered_reader import OrderedReader
from msbreg_tf.errors import RunFailedError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    for name, seconds in {
        "_POLL": 0.01,
        "_PATIENCE_AT_FIRST": 0.4,
        "_PATIENCE": 0.2,
        "_PROBE_AFTER": 0.05,
        "_OUTAGE": 0.1,
    }.items():
        monkeypatch.setattr(ordered_reader, name, seconds)


class Sender:
    """Sends what `script` says: a step, an exception, or a number of seconds to sleep."""

    def __init__(self, *script):
        self.script = list(script)
        self.sent = 0
        self.starts = []
        self.made_here = []
        self.unreachable = None

    def receive(self, start):
        self.starts.append(start)
        while self.script:
            item = self.script.pop(0)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                time.sleep(item)
            else:
                self.sent += 1
                yield item, ("sent", item)

    def make_here(self, step):
        self.made_here.append(step)
        return "made", step

    def reader(self, limit=4, first=0):
        return OrderedReader(
            self.receive,
            self.make_here,
            lambda: self.unreachable,
            name="--data_service=x",
            first=first,
            limit=limit,
        )


def elements(reader, stop, first=0):
    """The steps that were handed out, having checked that each is what was asked for."""
    handed_out = [reader.element(step) for step in range(first, stop)]
    assert [step for _, step in handed_out] == list(range(first, stop))
    return handed_out


def test_any_order_within_the_limit_is_put_right():
    generator = random.Random(0)
    starts = range(0, 40, 4)
    sender = Sender(*(s for start in starts for s in generator.sample(range(start, start + 4), 4)))
    elements(sender.reader(), 40)
    assert sender.made_here == []


def test_a_lost_step_is_made_here_once_the_limit_waits(capsys):
    sender = Sender(0, 1, 3, 4, 5, 6, 7, 8, 9)
    handed_out = elements(sender.reader(limit=4), 10)
    assert sender.made_here == [2]
    assert handed_out.count(("made", 2)) == 1
    assert capsys.readouterr().out == (
        "--data_service=x: step 2 is computed on this machine: 4 later ones came before it.\n"
    )


def test_no_more_than_the_limit_waits_here():
    sender = Sender(*range(1, 100))
    reader = sender.reader(limit=4)
    reader.element(0)
    time.sleep(0.1)
    assert sender.sent <= 4 + 2  # one in the queue, one that does not get into it


def test_a_late_or_repeated_step_is_dropped():
    sender = Sender(1, 2, 3, 4, 0, 0, 1, 5, 5, 6, 7)
    elements(sender.reader(limit=4), 8)
    assert sender.made_here == [0]


def test_steps_lost_at_the_very_end_are_made_here():
    sender = Sender(0, 2)
    elements(sender.reader(), 4)
    assert sender.made_here == [1, 3]


def test_silence_is_bridged_here_at_full_speed_and_said_once(capsys):
    sender = Sender(0, 1.0, 1, 2)
    reader = sender.reader(limit=100)
    begin = time.monotonic()
    elements(reader, 30)
    assert time.monotonic() - begin < 0.9
    assert sender.made_here == list(range(1, 30))
    assert capsys.readouterr().out.count("no worker has sent a batch") == 1


def test_after_silence_the_sender_begins_anew_where_we_are(capsys):
    sender = Sender(0, 0.8, 1, *range(30, 40))
    reader = sender.reader(limit=4)
    elements(reader, 30)
    time.sleep(0.8)  # now step 1 has come, far behind
    elements(reader, 40, first=30)
    assert sender.starts == [0, 29]
    assert sender.made_here[-1] <= 30
    assert "batches arrive again, at step 3" in capsys.readouterr().out


def test_a_dispatcher_that_is_gone_ends_the_run():
    sender = Sender(0, 5.0)
    reader = sender.reader()
    reader.element(0)
    sender.unreachable = "Connection refused"
    begin = time.monotonic()
    with pytest.raises(RunFailedError, match=r"--data_service=x: .* gone \(Connection refused\)"):
        elements(reader, 1000, first=1)
    assert time.monotonic() - begin < 2


def test_a_short_outage_does_not_end_it():
    sender = Sender(0, 0.1, 1)
    reader = sender.reader()
    reader.element(0)
    sender.unreachable = "Connection refused"
    assert reader.element(1) == ("sent", 1)


def test_errors_of_the_sender_are_passed_on():
    reader = Sender(0, OSError("no such file")).reader()
    assert reader.element(0) == ("sent", 0)
    with pytest.raises(RunFailedError, match="--data_service=x: no such file"):
        reader.element(1)


def test_closing_ends_the_thread():
    before = threading.active_count()
    reader = Sender(*range(100)).reader()
    reader.element(0)
    reader.close()
    reader._thread.join(2)
    assert threading.active_count() == before
