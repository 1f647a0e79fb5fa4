"""Barlow Twins (Zbontar et al. 2021): lightly's loss, and the head of its CIFAR-10 benchmark."""

import torch
from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import ProjectionHead

from benchmarks.race.peers.method import Siamese


def build(network, num_views, settings):
    hidden = settings["hidden"]

    def projector(size):
        first = (size, hidden, torch.nn.BatchNorm1d(hidden), torch.nn.ReLU())
        return ProjectionHead([first, (hidden, settings["size"], None, None)])

    return Siamese(network, num_views, projector, BarlowTwinsLoss(settings["redundancy"]))
