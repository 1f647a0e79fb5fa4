r"""Starts the input engine on other machines: a dispatcher, workers, or both.

    python -m tools.data_service --role=dispatcher --port=5050
    python -m tools.data_service --role=worker --dispatcher=grpc://HOST:5050

prints the flag that training needs, --data_service=grpc://HOST:5050. Workers read the images under
the same paths as the training machine. They may join and leave at any time. Ctrl-C ends it.
"""

import os
import signal
import socket
import threading
from typing import Optional
from urllib.parse import urlsplit

from absl import flags

from msbreg_tf.commands import cli
from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import DataConfig

FLAGS = flags.FLAGS
_OWN = ("role", "port", "dispatcher", "workers", "host")
# Of a worker that died, the dispatcher learns after this many milliseconds of silence.
_WORKER_TIMEOUT_MS = 20_000
_HEARTBEAT_MS = 2_000
# Jobs of runs that were killed are forgotten, with what their workers hold for them.
_JOB_TIMEOUT_MS = 60_000
_DEFAULT_PORT = 5050


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_enum(
        "role",
        "both",
        ["dispatcher", "worker", "both"],
        "dispatcher: one of it, on a machine that the others reach. worker: as many as you like. "
        "both: a dispatcher and workers on this machine.",
    )
    flags.DEFINE_integer(
        "port",
        None,
        "Port of the dispatcher (default: 5050) or of the first worker (default: any free one); "
        "further workers take the following ones.",
        lower_bound=0,
        upper_bound=65535,
    )
    flags.DEFINE_string("dispatcher", None, "grpc://HOST:PORT of it, for --role=worker.")
    flags.DEFINE_integer(
        "workers",
        1,
        "Workers in this process. Each uses all cores, so one is mostly enough.",
        lower_bound=1,
    )
    flags.DEFINE_string(
        "host",
        None,
        "Name or address under which the other machines reach this one (default: found out).",
    )


def main(argv: list[str]) -> None:
    del argv
    dispatcher = _checked_dispatcher()

    import tensorflow as tf  # late, so that --help and wrong flags do not wait for it

    from msbreg_tf.data.pipeline.service import why_no_service
    from msbreg_tf.run.determinism import make_sums_reproducible

    if dispatcher and (reason := why_no_service(dispatcher)):
        raise ValueError(
            f"--dispatcher={dispatcher}: nothing answers there ({reason}). Start it with "
            "--role=dispatcher, or correct host and port."
        )
    tf.config.set_visible_devices([], "GPU")  # nothing here needs one
    make_sums_reproducible()  # as training does
    servers = []
    try:
        if FLAGS.role != "worker":
            servers.append(_start_dispatcher())
            dispatcher = servers[0].target
        for number in range(FLAGS.workers if FLAGS.role != "dispatcher" else 0):
            servers.append(_start_worker(dispatcher, number))
        print("Ctrl-C ends it.", flush=True)
        _wait_for_a_signal()
    finally:
        for server in reversed(servers):
            server.stop()
    print("Stopped.", flush=True)
    # A worker whose dispatcher is gone would hold the interpreter's end up, for an hour.
    os._exit(0)


def _checked_dispatcher() -> Optional[str]:
    """--dispatcher; None where the role has no use for it."""
    given = FLAGS.dispatcher
    if (FLAGS.role == "worker") != (given is not None):
        raise ValueError(
            f"--role={FLAGS.role} {'needs' if given is None else 'has no use for'} --dispatcher: "
            "workers need --dispatcher=grpc://HOST:PORT, other roles start a dispatcher."
        )
    try:
        DataConfig(data_service=given)
    except ValueError as error:
        raise ValueError(str(error).replace("--data_service", "--dispatcher")) from error
    return given


def _start_dispatcher():
    """Starts it and says how training finds it."""
    from tensorflow.data.experimental import service

    port = _DEFAULT_PORT if FLAGS.port is None else FLAGS.port
    config = service.DispatcherConfig(
        port=port,
        worker_timeout_ms=_WORKER_TIMEOUT_MS,
        job_gc_check_interval_ms=_JOB_TIMEOUT_MS // 4,
        job_gc_timeout_ms=_JOB_TIMEOUT_MS,
    )
    server = _started(service.DispatchServer, config, port)
    address = f"grpc://{FLAGS.host or _host_name()}:{urlsplit(server.target).port}"
    print(f"Dispatcher at {address}")
    print(f"  workers:   python -m tools.data_service --role=worker --dispatcher={address}")
    print(f"  training:  --data_service={address}", flush=True)
    return server


def _start_worker(dispatcher: str, number: int):
    """Starts one worker and says where it is."""
    from tensorflow.data.experimental import service

    given = FLAGS.port if FLAGS.role == "worker" else None
    port = given + number if given else 0
    host = FLAGS.host or _own_address(dispatcher)
    config = service.WorkerConfig(
        dispatcher_address=urlsplit(dispatcher).netloc,
        worker_address=f"{host}:%port%",
        data_transfer_address=f"{host}:%port%",
        port=port,
        heartbeat_interval_ms=_HEARTBEAT_MS,
    )
    server = _started(service.WorkerServer, config, port)
    print(f"Worker {number + 1} of {FLAGS.workers} at {host}, for {dispatcher}", flush=True)
    return server


def _started(kind: type, config, port: int):
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
        reason = " ".join(str(error).split())
        raise RunFailedError(
            f"--role={FLAGS.role}: the server can't start ({reason}). Give workers the address "
            "that --role=dispatcher prints."
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


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=_OWN, training_flags=False)
