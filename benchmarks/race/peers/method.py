"""What a peer is to the training loop: networks, and a loss of a batch of views."""

import abc
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.race.peers.encoder import ResNet18


class Method(torch.nn.Module, abc.ABC):
    """An encoder, and what a method adds to it.

    All K views of a batch pass a network at once, as ours do; that is faster than one after the
    other, and batch norm sees them together. Losses are taken in float32 whatever the precision of
    the networks.
    """

    def __init__(self, network: Mapping[str, Any], num_views: int):
        super().__init__()
        self.encoder = ResNet18(network)
        self.num_views = num_views

    @abc.abstractmethod
    def embed(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the loss is taken of: images uint8 [K·n, 3, S, S], view by view, → [K·n, D] each."""

    @abc.abstractmethod
    def loss(self, *embedded: torch.Tensor) -> torch.Tensor:
        """A scalar, of float32 tensors."""

    def before_step(self, step: int, total: int) -> None:
        """Is called before every step; moves a target network, where there is one."""

    def views_of(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[K·n, D] → K times [n, D]."""
        return rows.chunk(self.num_views)


class Siamese(Method):
    """A method of one network with a projector; its loss is a function of the projections."""

    def __init__(self, network: Mapping[str, Any], num_views: int, projector, criterion):
        """Takes `projector`: size of features → module; and `criterion`: module."""
        super().__init__(network, num_views)
        self.projector = projector(self.encoder.size)
        self.criterion = criterion

    def embed(self, images):
        return (self.projector(self.encoder(images)),)

    def loss(self, projections):
        return self.criterion(*self.views_of(projections))
