"""Where a served encoder is found; nothing here imports TensorFlow."""

import re
from typing import NamedTuple, Optional

_REST = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[^/:\s\[\]]+)(:(?P<port>\d{1,5}))?"
    r"/v1/models/(?P<model>[^/:\s]+)(/versions/(?P<version>\d+))?(:predict)?/?"
)
_GRPC = re.compile(
    r"(?P<scheme>grpc)://(?P<host>\[[0-9a-fA-F:.]+\]|[^/:\s\[\]]+):(?P<port>\d{1,5})"
    r"/(?P<model>[^/:\s]+)(/(versions/)?(?P<version>\d+))?/?"
)
EXPECTED = "http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME"


class Address(NamedTuple):
    """A model on a server.

    Attributes:
      text: as the user wrote it.
      scheme: http, https or grpc.
      host: name or IP address, IPv6 in brackets.
      port: of that scheme's interface.
      model: its name in the server's configuration.
      version: as the user demands it; None for the newest that is served.
    """

    text: str
    scheme: str
    host: str
    port: int
    model: str
    version: Optional[int]


def parse_address(text: str) -> Address:
    """Reads the value of --server.

    Raises:
      ValueError: it has another form.
    """
    match = _REST.fullmatch(text) or _GRPC.fullmatch(text)
    if not match:
        raise ValueError(
            f"--server={text}: expected {EXPECTED}, where NAME is the model's in the server's "
            "configuration."
        )
    scheme = match["scheme"]
    port = int(match["port"] or {"http": 80, "https": 443}[scheme])
    if not 0 < port < 65536:
        raise ValueError(f"--server={text}: expected a port between 1 and 65535.")
    version = None if match["version"] is None else int(match["version"])
    return Address(text, scheme, match["host"], port, match["model"], version)
