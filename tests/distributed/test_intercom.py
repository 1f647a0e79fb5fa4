"""A worker's reason arrives before its connection ends, whoever is slow."""

import socket
import time

import pytest

from msbreg_tf.distributed.intercom import Ending, Intercom


@pytest.fixture
def three():
    """A chief and two workers that met."""
    pairs = {index: socket.socketpair() for index in (1, 2)}
    chief = Intercom(0, {index: pair[0] for index, pair in pairs.items()})
    workers = [Intercom(index, {0: pair[1]}) for index, pair in pairs.items()]
    yield chief, *workers
    for each in (chief, *workers):
        each.close()


def test_a_reason_reaches_everybody_and_the_later_end_does_not_hide_it(three):
    chief, first, second = three
    first.tell("--data_dir=/nowhere: no such folder.")
    first.close()
    time.sleep(0.2)
    ending = Ending(1, "--data_dir=/nowhere: no such folder.")
    assert chief.first_ending(5) == ending
    assert second.first_ending(5) == ending


def test_the_chiefs_reason(three):
    chief, first, second = three
    chief.tell("the disk is full.")
    assert first.first_ending(5) == second.first_ending(5) == Ending(0, "the disk is full.")


def test_a_killed_worker_said_nothing(three):
    chief, first, second = three
    first.close()
    assert chief.first_ending(5) == second.first_ending(5) == Ending(1, None)


def test_a_reason_that_arrives_byte_by_byte_is_waited_for():
    """A peer so slow that its message and its end are seconds apart from the loss."""
    ours, theirs = socket.socketpair()
    chief = Intercom(0, {1: ours})
    for byte in b'[1, "slow."]\n':
        assert chief.first_ending(0) is None
        theirs.sendall(bytes([byte]))
        time.sleep(0.01)
    assert chief.first_ending(5) == Ending(1, "slow.")
    assert theirs.recv(100) == b"heard\n"
    theirs.close()


def test_nobody_has_ended(three):
    assert [each.first_ending(0.05) for each in three] == [None] * 3


def test_alone_there_is_nobody_to_tell():
    alone = Intercom()
    alone.tell("anything")
    assert alone.first_ending(0) is None
