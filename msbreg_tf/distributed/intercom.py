"""What workers tell each other when one of them ends, over connections of our own.

TensorFlow breaks all collectives when a process is gone, and says why only if that arrives first.
Here the reason is sent, and its arrival confirmed, before the connection ends: TCP delivers in this
order, however slow either side is. The chief passes on what it hears.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from typing import NamedTuple, Optional

_HEARD = b"heard\n"
_CONFIRM_SECONDS = 10.0
_LONGEST = 1 << 16  # bytes of a message


class Ending(NamedTuple):
    """How a worker ended: what it said, or None if it said nothing."""

    worker: int
    reason: Optional[str]


class Intercom:
    """One end of the connections: all of them at the chief, a single one elsewhere."""

    def __init__(self, index: int = 0, peers: Optional[Mapping[int, socket.socket]] = None):
        """Listens to `peers`, {index: connection}, from now on."""
        self._index = index
        self._peers = dict(peers or {})
        self._confirmed = {peer: threading.Event() for peer in self._peers}
        self._ending: Optional[Ending] = None
        self._has_ended = threading.Event()
        self._lock = threading.Lock()
        for peer, connection in self._peers.items():
            connection.settimeout(None)
            threading.Thread(target=self._listen, args=(peer, connection), daemon=True).start()

    def tell(self, reason: str) -> None:
        """Tells all peers why this worker ends; returns when they have heard it, or are gone."""
        self._send(Ending(self._index, reason), self._peers)
        for event in self._confirmed.values():
            event.wait(_CONFIRM_SECONDS)

    def first_ending(self, patience: float) -> Optional[Ending]:
        """The first worker that ended, if one does within `patience` seconds."""
        self._has_ended.wait(patience)
        return self._ending

    def close(self) -> None:
        """Ends the connections."""
        for connection in self._peers.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _listen(self, peer: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            stream = connection.makefile("rb")
            while line := stream.readline(_LONGEST):
                if line == _HEARD:
                    self._confirmed[peer].set()
                    continue
                worker, reason = json.loads(line)
                self._note(Ending(worker, reason), but=peer)
                connection.sendall(_HEARD)
        self._confirmed[peer].set()  # it hears nothing any more
        self._note(Ending(peer, None), but=peer)

    def _note(self, ending: Ending, but: int) -> None:
        with self._lock:
            if self._ending is not None:
                return
            self._ending = ending
        self._send(ending, {peer: c for peer, c in self._peers.items() if peer != but})
        self._has_ended.set()

    def _send(self, ending: Ending, peers: Mapping[int, socket.socket]) -> None:
        line = json.dumps([ending.worker, ending.reason]).encode()[: _LONGEST - 2] + b"\n"
        for connection in peers.values():
            with contextlib.suppress(OSError):
                connection.sendall(line)
