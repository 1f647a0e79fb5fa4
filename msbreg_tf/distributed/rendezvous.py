"""Workers wait for each other before TensorFlow connects them.

TensorFlow waits too, but without an end, without saying for whom, and deaf to Ctrl-C and SIGTERM.
"""

import contextlib
import json
import socket
import time
from typing import Optional

from msbreg_tf.distributed.cluster import Cluster
from msbreg_tf.distributed.intercom import Intercom
from msbreg_tf.errors import RunFailedError

PATIENCE = 600.0  # seconds; cluster managers start the parts of a job minutes apart
_GREETING = 1 << 16  # bytes, at most


def wait_for_all_workers(cluster: Cluster, patience: float = PATIENCE) -> Intercom:
    """Returns when every worker of `cluster` has called it.

    Returns:
      The connections that they met by; they stay open.

    Raises:
      ValueError: this worker's port is taken, or the workers were given different clusters.
      RunFailedError: not all came within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    with _listen(cluster) as server:
        if cluster.index == 0:
            return Intercom(0, _wait_for_all(cluster, server, deadline))
    return Intercom(cluster.index, {0: _report_to_chief(cluster, deadline)})


def _listen(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.index]
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", int(address.rpartition(":")[2])),
            family=socket.AF_INET6 if both else socket.AF_INET,
            dualstack_ipv6=both,
        )
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"worker {cluster.index}: its port in {address} can't be used ({error}). Is another "
            "run using it? Choose a free one in TF_CONFIG, the same for all workers."
        ) from error


def _wait_for_all(
    cluster: Cluster, server: socket.socket, deadline: float
) -> dict[int, socket.socket]:
    """The chief's side: keeps every connection open until all have come, then tells them to go."""
    connections: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as closing:
        while missing := [i for i in range(1, len(cluster.addresses)) if i not in connections]:
            if (left := deadline - time.monotonic()) <= 0:
                names = ", ".join(f"worker {i} ({cluster.addresses[i]})" for i in missing)
                raise RunFailedError(f"{names} did not start in time. Start all workers again.")
            server.settimeout(min(left, 1.0))
            with contextlib.suppress(socket.timeout):
                connection = closing.enter_context(server.accept()[0])
                index = _read_greeting(cluster, connection)
                if index is not None:
                    connections[index] = connection
            connections = {i: each for i, each in connections.items() if _is_open(each)}
        for connection in connections.values():
            connection.sendall(b"go\n")
        closing.pop_all()
    return connections


def _read_greeting(cluster: Cluster, connection: socket.socket) -> Optional[int]:
    """The index of the worker that called, or None if it was someone else."""
    connection.settimeout(5.0)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        greeting = json.loads(connection.makefile("rb").readline(_GREETING))
        index, theirs = int(greeting["index"]), greeting["addresses"]
        if theirs != list(cluster.addresses) or not 0 < index < len(theirs):
            connection.sendall(b"other cluster\n")
            raise RunFailedError(
                f"worker {index} was started with other addresses ({', '.join(theirs)}) than this "
                f"one ({', '.join(cluster.addresses)}). Give all workers the same TF_CONFIG, but "
                "for the index."
            )
        return index
    return None


def _line(connection: socket.socket) -> bytes:
    """One line, and not a byte of what follows it."""
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line.strip()


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.setblocking(True)


def _report_to_chief(cluster: Cluster, deadline: float) -> socket.socket:
    chief = cluster.addresses[0]
    host, _, port = chief.rpartition(":")
    greeting = json.dumps({"index": cluster.index, "addresses": cluster.addresses}) + "\n"
    reason = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), min(left, 5.0))
            connection.sendall(greeting.encode())
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            answer = _line(connection)
            if answer == b"go":
                return connection
            connection.close()
            if answer == b"other cluster":
                raise RunFailedError(
                    f"worker 0 ({chief}) was started with other addresses than this one "
                    f"({', '.join(cluster.addresses)}). Give all workers the same TF_CONFIG, but "
                    "for the index."
                )
        except OSError as error:  # not there yet, or its name is not yet known
            reason = str(error)
        time.sleep(0.5)
    raise RunFailedError(
        f"worker 0 ({chief}) did not start in time ({reason}). Start all workers again."
    )
