"""Settings of a client of a server; nothing here imports TensorFlow."""

import dataclasses
from typing import Optional

from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class ServerSettings(Settings):
    """The server, in place of an export; none of these changes a row."""

    server: Optional[str] = setting(
        None,
        "Served encoder to ask instead of --saved_model: http://HOST:8501/v1/models/NAME (REST) or "
        "grpc://HOST:8500/NAME of TensorFlow Serving; /versions/N at the end demands a version.",
    )
    server_requests: int = setting(
        4, "Requests that are under way at once.", low=1, changes_result=False
    )
    server_timeout: float = setting(
        60.0,
        "Time after which a request counts as lost.",
        unit="seconds",
        above=0,
        changes_result=False,
    )
    server_retries: int = setting(
        8,
        "How often a request is sent again, when the server is away, overloaded or too slow: after "
        "0.5 s, then twice as long each time, at most 30 s. Then the run gives up.",
        low=0,
        changes_result=False,
    )
