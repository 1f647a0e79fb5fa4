"""`python -m tools.data_service`: dispatcher and workers that make views for a training machine."""

import dataclasses
import os
import signal
import socket
import threading
import time
from typing import Any, Optional
from urllib.parse import urlsplit

from msbreg_tf.commands.cli import Command
from msbreg_tf.data.settings import check_service_address
from msbreg_tf.errors import RunFailedError, as_typed, note, one_line
from msbreg_tf.settings import Settings, setting

# The dispatcher learns of a worker that died after this many milliseconds of silence.
_WORKER_TIMEOUT_MS = 20_000
_HEARTBEAT_MS = 2_000
# Jobs of runs that were killed are forgotten, with what their workers hold for them.
_JOB_TIMEOUT_MS = 60_000
_DEFAULT_PORT = 5050


@dataclasses.dataclass(frozen=True)
class DataServiceSettings(Settings):
    """What is started, and where."""

    role: str = setting(
        "both",
        "dispatcher: start one, on a machine that the others reach. worker: start as many as you "
        "like. both: a dispatcher and workers on this machine.",
        choices=("dispatcher", "worker", "both"),
    )
    port: Optional[int] = setting(
        None,
        "Port of the dispatcher (default: 5050) or of the first worker (default: any free one); "
        "further workers take the following ones.",
        low=0,
        high=65535,
    )
    dispatcher: Optional[str] = setting(
        None, "Address of the dispatcher, grpc://HOST:PORT, for --role=worker."
    )
    workers: int = setting(
        1, "Workers in this process. Each uses all cores, so one is mostly enough.", low=1
    )
    host: Optional[str] = setting(
        None,
        "Name or address under which the other machines reach this one (default: found out).",
    )

    def __post_init__(self):
        super().__post_init__()
        if (self.role == "worker") != (self.dispatcher is not None):
            problem = "needs" if self.dispatcher is None else "has no use for"
            raise ValueError(
                f"--role={self.role} {problem} --dispatcher: workers need "
                "--dispatcher=grpc://HOST:PORT, other roles start a dispatcher."
            )
        check_service_address("dispatcher", self.dispatcher)


def _run(settings: DataServiceSettings) -> None:
    import tensorflow as tf

    from msbreg_tf.data.pipeline.service import why_no_service
    from msbreg_tf.run.determinism import reproducible_sums

    dispatcher = settings.dispatcher
    if dispatcher:
        _wait_for(dispatcher)
        if reason := why_no_service(dispatcher):
            raise ValueError(
                f"--dispatcher={dispatcher}: {reason}. Start it with --role=dispatcher, or correct "
                "host and port."
            )
    tf.config.set_visible_devices([], "GPU")  # nothing here needs one
    servers = []
    with reproducible_sums():  # as in training
        try:
            if settings.role != "worker":
                servers.append(_start_dispatcher(settings))
                dispatcher = servers[0].target
            for number in range(settings.workers if settings.role != "dispatcher" else 0):
                servers.append(_start_worker(settings, dispatcher, number))
            print("Ctrl-C ends it.", flush=True)
            _wait_for_a_signal()
        finally:
            for server in reversed(servers):
                server.stop()
    print("Stopped.", flush=True)
    # A worker whose dispatcher is gone would delay the exit of Python by an hour.
    os._exit(0)


def _wait_for(dispatcher: str) -> None:
    """Returns when something listens there; says what it waits for."""
    from msbreg_tf.data.pipeline.service import why_unreachable

    said = False
    while reason := why_unreachable(dispatcher):
        if not said:
            note(
                f"--dispatcher={dispatcher}: nothing answers there yet ({reason}); waiting for it. "
                "Start it with --role=dispatcher, or correct host and port."
            )
            said = True
        time.sleep(1)


def _start_dispatcher(settings: DataServiceSettings) -> Any:
    """Starts the dispatcher and says how training finds it."""
    from tensorflow.data.experimental import service

    port = _DEFAULT_PORT if settings.port is None else settings.port
    config = service.DispatcherConfig(
        port=port,
        worker_timeout_ms=_WORKER_TIMEOUT_MS,
        job_gc_check_interval_ms=_JOB_TIMEOUT_MS // 4,
        job_gc_timeout_ms=_JOB_TIMEOUT_MS,
    )
    server = _started(settings, service.DispatchServer, config, port)
    address = f"grpc://{settings.host or _host_name()}:{urlsplit(server.target).port}"
    print(f"Dispatcher at {address}")
    worker = as_typed(f"python -m tools.data_service --role=worker --dispatcher={address}")
    print(f"  workers:   {worker}")
    print(f"  training:  --data_service={address}", flush=True)
    return server


def _start_worker(settings: DataServiceSettings, dispatcher: str, number: int) -> Any:
    """Starts one worker and says where it is."""
    from tensorflow.data.experimental import service

    given = settings.port if settings.role == "worker" else None
    port = given + number if given else 0
    host = settings.host or _own_address(dispatcher)
    config = service.WorkerConfig(
        dispatcher_address=urlsplit(dispatcher).netloc,
        worker_address=f"{host}:%port%",
        data_transfer_address=f"{host}:%port%",
        port=port,
        heartbeat_interval_ms=_HEARTBEAT_MS,
    )
    server = _started(settings, service.WorkerServer, config, port)
    print(f"Worker {number + 1} of {settings.workers} at {host}, for {dispatcher}", flush=True)
    return server


def _started(settings: DataServiceSettings, kind: type, config: Any, port: int) -> Any:
    """A server of this kind.

    Raises:
      ValueError: the port is taken.
      RunFailedError: the server does not start.
    """
    import tensorflow as tf

    try:
        with socket.socket() as probe:  # gRPC would share a port with whoever has it
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise ValueError(
            f"--port={port}: can't be used ({error.strerror}). Choose another."
        ) from error
    try:
        return kind(config)
    except tf.errors.OpError as error:
        raise RunFailedError(
            f"--role={settings.role}: the server can't start ({one_line(error)}). Give workers the "
            "address that --role=dispatcher prints."
        ) from error


def _wait_for_a_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def _host_name() -> str:
    """This machine's name if it can be resolved, else "localhost"."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return "localhost"
    return name


def _own_address(dispatcher: str) -> str:
    """The address of this machine from which the dispatcher is reached."""
    address = urlsplit(dispatcher)
    with socket.create_connection((address.hostname, address.port)) as connection:
        own = connection.getsockname()[0]
    return f"[{own}]" if ":" in own else own


COMMAND = Command((DataServiceSettings,), _run)
