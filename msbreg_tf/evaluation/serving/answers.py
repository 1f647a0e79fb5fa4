"""What a server says, whichever interface it said it by."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

SIGNATURE = "serve_bytes"
IMAGES = "image_bytes"


class ServerAwayError(Exception):
    """The server cannot answer now: it may do so later."""


class RefusedError(Exception):
    """The server answers, and says no: asking again does not help."""


class NotServedError(RefusedError):
    """The server has no such model, version or signature."""


class Description(NamedTuple):
    """What a server says of a model.

    Attributes:
      version: the one that answered.
      signatures: {signature: (names of inputs, names of outputs)}.
    """

    version: int
    signatures: Mapping[str, tuple[list[str], list[str]]]


class Connection(Protocol):
    """One interface of a server. Its methods may be called by several threads.

    Each raises ServerAwayError, NotServedError or RefusedError, with the reason in one line.
    """

    def describe(self) -> Description:
        """What is served under the model's name, in the version that the address demands."""

    def predict(self, images: list[bytes], version: int) -> dict[str, np.ndarray]:
        """The outputs of `serve_bytes` for encoded images."""

    def close(self) -> None:
        """Ends the connections."""
