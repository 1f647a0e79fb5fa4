import contextlib
import socket
import threading
import time

import pytest

from msbreg_tf.distributed.cluster import Cluster
from msbreg_tf.distributed.rendezvous import wait_for_all_workers
from msbreg_tf.errors import RunFailedError


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return tuple(f"localhost:{s.getsockname()[1]}" for s in sockets)


class Caller(threading.Thread):
    def __init__(self, addresses, index, patience=20.0):
        super().__init__(daemon=True)
        self.arguments = (Cluster(addresses, index), patience)
        self.error = None
        self.start()

    def run(self):
        try:
            wait_for_all_workers(*self.arguments)
        except (ValueError, RunFailedError) as error:
            self.error = error


def test_nobody_goes_before_the_last_has_come():
    addresses = free_addresses(3)
    callers = [Caller(addresses, 2), Caller(addresses, 0)]
    time.sleep(1.5)
    assert all(caller.is_alive() for caller in callers)
    callers.append(Caller(addresses, 1))
    for caller in callers:
        caller.join(20)
        assert not caller.is_alive()
        assert caller.error is None
    ports = [int(address.split(":")[1]) for address in addresses]
    for port in ports:  # which TensorFlow takes next
        socket.create_server(("", port)).close()


def test_one_that_came_and_died_is_waited_for_again():
    addresses = free_addresses(2)
    chief = Caller(addresses, 0)
    time.sleep(0.3)
    with socket.create_connection(("localhost", int(addresses[0].split(":")[1]))) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert chief.is_alive()
    worker = Caller(addresses, 1)
    chief.join(20)
    worker.join(20)
    assert chief.error is worker.error is None


def test_who_is_missing_is_named():
    addresses = free_addresses(3)
    with pytest.raises(RunFailedError, match=rf"worker 1 \({addresses[1]}\), worker 2.*in time"):
        wait_for_all_workers(Cluster(addresses, 0), patience=0.2)
    with pytest.raises(RunFailedError, match=rf"worker 0 \({addresses[0]}\).*in time"):
        wait_for_all_workers(Cluster(addresses, 2), patience=0.2)


def test_a_port_in_use_is_one_line():
    with socket.create_server(("", 0)) as other:
        address = f"localhost:{other.getsockname()[1]}"
        with pytest.raises(ValueError, match=rf"worker 0: its port in {address} can't be used"):
            wait_for_all_workers(Cluster((address, "localhost:1"), 0), patience=1)


def test_different_clusters_are_told_to_both_sides():
    addresses = free_addresses(3)
    chief = Caller(addresses[:2], 0)
    with pytest.raises(RunFailedError, match="other addresses"):
        wait_for_all_workers(Cluster((addresses[0], addresses[2]), 1), patience=20)
    chief.join(20)
    assert "worker 1 was started with other addresses" in str(chief.error)
