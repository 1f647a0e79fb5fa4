"""Several clients of a server that is killed and started again in the middle: is anything lost?

    python -m benchmarks.serving_soak

The server is the tests' stand-in for TensorFlow Serving, on loopback, and serves an untrained
ResNet-18 of width 16 for 32 pixels. Half of the clients speak REST, half gRPC. Each sends a bounded
number of requests with 1 to 8 images, of which every seventh is broken. When half of all requests
are answered, the server is killed, and started again on the same ports after two seconds. Every
answer is compared with the export in process: a row that is missing, of another image or of a
broken one makes the exit code 1. It needs the package tensorflow-serving-api.
"""

import argparse
import pathlib
import sys
import tempfile
import threading
import time

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

from msbreg_tf.evaluation.exporting import export_encoder  # isort: skip
from msbreg_tf.evaluation.serving.address import parse_address  # isort: skip
from msbreg_tf.evaluation.serving.client import ServedEncoder  # isort: skip
from msbreg_tf.evaluation.serving.settings import ServerSettings  # isort: skip
from msbreg_tf.networks.resnet import build_resnet  # isort: skip
from tests.evaluation.serving.served import StandIn, stand_in  # isort: skip

_SIDE = 32
_KINDS = 64  # different images
_BROKEN_EVERY = 7
_AWAY_SECONDS = 2.0


class Client(threading.Thread):
    """Sends requests one after the other; keeps what came back and how long it took."""

    def __init__(self, number: int, address: str, requests: int, images: list[bytes]):
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.answers: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.pauses = 0
        self.error = None
        self._rng = np.random.default_rng(number)
        self._address, self._requests, self._images = address, requests, images

    def run(self):
        try:
            self._send_all()
        except Exception as error:  # told at the end
            self.error = error

    def _send_all(self):
        client = self

        class Counted(ServedEncoder):
            def _pause(self, seconds):
                client.pauses += 1
                super()._pause(seconds)

        encoder = Counted(parse_address(self._address), ServerSettings(server_requests=1))
        for _ in range(self._requests):
            chosen = self._rng.integers(0, _KINDS, self._rng.integers(1, 9))
            started = time.perf_counter()
            ((rows, good),) = encoder.embed([[self._images[kind] for kind in chosen]])
            self.seconds.append(time.perf_counter() - started)
            self.answers.append((chosen, rows, good))
        encoder.close()

    def wrong(self, expected: np.ndarray) -> int:
        """Answers that are not the export's."""
        return sum(
            good.tolist() != np.isfinite(expected[chosen, 0]).tolist()
            or not np.allclose(rows, expected[chosen][good], rtol=1e-4, atol=1e-5)
            for chosen, rows, good in self.answers
        )


def _images() -> list[bytes]:
    rng = np.random.default_rng(0)
    images = []
    for kind in range(_KINDS):
        pixels = rng.integers(0, 256, [40 + kind, 60, 3], np.uint8)
        encoded = tf.io.encode_jpeg(pixels).numpy()
        images.append(encoded[:300] if kind % _BROKEN_EVERY == 0 else encoded)
    return images


def _answered(clients: list[Client]) -> int:
    return sum(len(client.answers) for client in clients)


def _until(clients: list[Client], requests: int, deadline: float) -> None:
    while _answered(clients) < requests and any(client.is_alive() for client in clients):
        if time.monotonic() > deadline:
            raise SystemExit(f"only {_answered(clients)} requests were answered in time")
        time.sleep(0.05)


def _soak(base: pathlib.Path, given: argparse.Namespace, images: list[bytes]) -> list[Client]:
    total = given.clients * given.requests
    deadline = time.monotonic() + given.limit
    with stand_in(base) as first:
        clients = _clients(first, given, images)
        _until(clients, total // 2, deadline)
    print(f"killed after {_answered(clients)} of {total} requests", flush=True)
    time.sleep(_AWAY_SECONDS)
    with stand_in(base, f"--rest_port={first.rest}", f"--port={first.grpc}"):
        _until(clients, total, deadline)
        for client in clients:
            client.join(timeout=5)
    return clients


def _clients(server: StandIn, given: argparse.Namespace, images: list[bytes]) -> list[Client]:
    addresses = (
        f"http://127.0.0.1:{server.rest}/v1/models/encoder",
        f"grpc://127.0.0.1:{server.grpc}/encoder",
    )
    clients = [
        Client(number, addresses[number % 2], given.requests, images)
        for number in range(given.clients)
    ]
    for client in clients:
        client.start()
    return clients


def main(given: argparse.Namespace) -> int:
    """Runs the soak, prints its figures, and returns the exit code."""
    images = _images()
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        base = pathlib.Path(folder) / "export"
        encoder = build_resnet("resnet18", image_size=_SIDE, width=16, stem="cifar")
        export = export_encoder(encoder, str(base / "1"), image_size=_SIDE, metadata={})
        serve = tf.saved_model.load(export).signatures["serve_bytes"]
        expected = serve(image_bytes=tf.constant(images))["embedding"].numpy()
        started = time.perf_counter()
        clients = _soak(base, given, images)
        seconds = time.perf_counter() - started
    times = np.sort(np.concatenate([client.seconds for client in clients]))
    sent = sum(len(chosen) for client in clients for chosen, _, _ in client.answers)
    broken = sum((~good).sum() for client in clients for _, _, good in client.answers)
    wrong = sum(client.wrong(expected) for client in clients)
    errors = [client.error for client in clients if client.error]
    lost = given.clients * given.requests - _answered(clients)
    print(
        f"{given.clients} clients, {_answered(clients)} requests, {sent} images, {broken} of them "
        f"broken, in {seconds:.0f} s\nlost {lost}, wrong {wrong}, errors {len(errors)}; "
        f"asked again {sum(client.pauses for client in clients)} times\nseconds a request: median "
        f"{np.median(times):.3f}, 95 % {times[int(0.95 * len(times))]:.3f}, longest "
        f"{times[-1]:.1f} (over the restart)"
    )
    for error in errors:
        print(f"error: {error}")
    return int(bool(lost or wrong or errors))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--requests", type=int, default=100, help="of each client")
    parser.add_argument("--limit", type=float, default=60, help="seconds until it gives up")
    sys.exit(main(parser.parse_args()))
