"""TensorFlow Serving's REST interface, by the standard library."""

import base64
import http.client
import json
import threading
from typing import Any, Optional

import numpy as np

from msbreg_tf.errors import one_line
from msbreg_tf.evaluation.serving.address import Address
from msbreg_tf.evaluation.serving.answers import (
    IMAGES,
    SIGNATURE,
    Description,
    NotServedError,
    RefusedError,
    ServerAwayError,
)

# Overloaded, or something between us and a server that starts or restarts.
_AWAY = (408, 429, 500, 502, 503, 504)


class RestConnection:
    """A `Connection` that keeps one connection open for each thread."""

    def __init__(self, address: Address, timeout: float):
        """Connects at the first question.

        Args:
          address: of scheme http or https.
          timeout: seconds.
        """
        self._address = address
        self._timeout = timeout
        self._own = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def describe(self) -> Description:
        """See `Connection`."""
        answer = self._ask("GET", f"{self._path(self._address.version)}/metadata")
        try:
            definitions = answer["metadata"]["signature_def"]["signature_def"]
            signatures = {
                name: (sorted(each["inputs"]), sorted(each["outputs"]))
                for name, each in definitions.items()
                if not name.startswith("__")
            }
            return Description(int(answer["model_spec"]["version"]), signatures)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(f"its metadata are not TensorFlow Serving's ({error!r})") from None

    def predict(self, images: list[bytes], version: int) -> dict[str, np.ndarray]:
        """See `Connection`."""
        encoded = [{"b64": base64.b64encode(image).decode()} for image in images]
        question = {"signature_name": SIGNATURE, "inputs": {IMAGES: encoded}}
        answer = self._ask("POST", f"{self._path(version)}:predict", json.dumps(question))
        outputs = answer.get("outputs")
        # The only output of a signature comes without its name.
        named = outputs if isinstance(outputs, dict) else {"embedding": outputs}
        return {name: np.array(value) for name, value in named.items()}

    def close(self) -> None:
        """See `Connection`."""
        for connection in self._all:
            connection.close()

    def _path(self, version: Optional[int]) -> str:
        model = f"/v1/models/{self._address.model}"
        return model if version is None else f"{model}/versions/{version}"

    def _ask(self, method: str, path: str, body: Optional[str] = None) -> dict[str, Any]:
        connection = self._connection()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            status, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # the next question opens it anew
            raise ServerAwayError(one_line(error)) from error
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {"error": " ".join(content[:200].decode(errors="replace").split())}
        if status == 200 and isinstance(answer, dict) and "error" not in answer:
            return answer
        reason = answer.get("error") if isinstance(answer, dict) else None
        reason = one_line(ValueError(reason or f"HTTP {status}"))
        if status in _AWAY:
            raise ServerAwayError(reason)
        raise (NotServedError if status == 404 else RefusedError)(reason)

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._own, "connection"):
            kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
            host = self._address.host.strip("[]")
            kind = kinds[self._address.scheme]
            self._own.connection = kind(host, self._address.port, timeout=self._timeout)
            self._all.append(self._own.connection)
        return self._own.connection
