"""An encoder on a server: images in, features out, through restarts and overload."""

import collections
import concurrent.futures
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Optional, TypeVar

import numpy as np

from msbreg_tf.errors import RunFailedError, note
from msbreg_tf.evaluation.serving.address import Address
from msbreg_tf.evaluation.serving.answers import (
    IMAGES,
    SIGNATURE,
    Connection,
    Description,
    NotServedError,
    RefusedError,
    ServerAwayError,
)
from msbreg_tf.evaluation.serving.settings import ServerSettings

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds
Answer = TypeVar("Answer")


class ServedEncoder:
    """An encoder behind TensorFlow Serving's REST or gRPC interface.

    Attributes:
      identity: JSON values that tell it from others: the model's name and version. A server is
        trusted to serve the same weights under the same name and version.
    """

    def __init__(
        self,
        address: Address,
        settings: ServerSettings,
        *,
        connection: Optional[Connection] = None,
    ):
        """Asks the server what it serves, and stays with that version.

        Args:
          address: of the model.
          settings: how to ask.
          connection: how to speak to the server; by default as `address` says.

        Raises:
          ValueError: no such model, version or signature there.
          RunFailedError: the server does not answer.
        """
        self._text = address.text
        self._model = address.model
        self._settings = settings
        self._given_up = threading.Event()
        self._connection = connection or _connect(address, settings.server_timeout)
        try:
            served = self._patiently(self._connection.describe)
        except RefusedError as error:
            raise ValueError(
                f"--server={self._text}: it does not serve that ({error}). Give the model's name "
                "as in the server's configuration, and a version that it has, or none."
            ) from error
        self._check(served)
        self._version = served.version
        self.identity = {"served": self._model, "version": served.version}

    def embed(self, batches: Iterable[Sequence[bytes]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features of encoded images, batch by batch in their order; several are under way at once.

        Args:
          batches: of encoded images, b each.

        Yields:
          float32 [g, F] of the images that the server could decode, and bool [b], which these are.

        Raises:
          RunFailedError: the server stays away, refuses, or does not have the version any more.
        """
        under_way: collections.deque = collections.deque()
        self._given_up.clear()
        with concurrent.futures.ThreadPoolExecutor(self._settings.server_requests) as pool:
            try:
                for batch in batches:
                    under_way.append(pool.submit(self._embed_batch, list(batch)))
                    if len(under_way) > self._settings.server_requests:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                self._given_up.set()
                for future in under_way:
                    future.cancel()

    def close(self) -> None:
        """Ends the connections."""
        self._connection.close()

    def _embed_batch(self, images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        try:
            outputs = self._patiently(lambda: self._connection.predict(images, self._version))
        except NotServedError as error:
            raise RunFailedError(
                f"--server={self._text}: version {self._version} is not served any more ({error}). "
                "Finished parts are kept for it; features of two versions are not mixed."
            ) from error
        except RefusedError as error:
            raise RunFailedError(
                f"--server={self._text}: it refuses {len(images)} images ({error}). Give a smaller "
                "--batch_size if it speaks of the batch; finished parts are kept."
            ) from error
        return self._rows(outputs, len(images))

    def _rows(self, outputs: dict[str, Any], count: int) -> tuple[np.ndarray, np.ndarray]:
        features = np.asarray(outputs.get("embedding", ()), np.float32)
        if features.ndim != 2 or len(features) != count:
            raise RunFailedError(
                f"--server={self._text}: embedding {list(features.shape)} for {count} images; "
                "expected a row for each. Export the encoder again."
            )
        good = np.isfinite(features).all(axis=1)
        good &= np.asarray(outputs.get("valid", good), bool)
        return features[good], good

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` returns, asked again while the server is away."""
        for attempt in range(self._settings.server_retries + 1):
            try:
                return ask()
            except ServerAwayError as error:
                if attempt == self._settings.server_retries or self._given_up.is_set():
                    raise RunFailedError(
                        f"--server={self._text}: it does not answer ({error}), asked "
                        f"{attempt + 1} times. Finished parts are kept; start the same command "
                        "again when it is up."
                    ) from error
                wait = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
                if attempt == 1:
                    note(f"{self._text}: no answer ({error}); asking again.")
                # Not all clients at the same moment.
                self._pause(wait * random.uniform(0.75, 1.25))
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, seconds: float) -> None:
        self._given_up.wait(seconds)

    def _check(self, served: Description) -> None:
        inputs, outputs = served.signatures.get(SIGNATURE, ((), ()))
        if list(inputs) != [IMAGES] or "embedding" not in outputs:
            names = ", ".join(sorted(served.signatures)) or "none"
            raise ValueError(
                f"--server={self._text}: version {served.version} has no signature {SIGNATURE} "
                f"({IMAGES} → embedding); its signatures are {names}. Serve an export of this "
                "package."
            )


def _connect(address: Address, timeout: float) -> Connection:
    if address.scheme == "grpc":
        from msbreg_tf.evaluation.serving.rpc import RpcConnection

        return RpcConnection(address, timeout)
    from msbreg_tf.evaluation.serving.rest import RestConnection

    return RestConnection(address, timeout)
