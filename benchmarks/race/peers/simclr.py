"""SimCLR (Chen et al. 2020): lightly's head and loss."""

from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead

from benchmarks.race.peers.method import Siamese


def build(network, num_views, settings):
    return Siamese(
        network,
        num_views,
        lambda size: SimCLRProjectionHead(size, settings["hidden"], settings["size"]),
        NTXentLoss(temperature=settings["temperature"]),
    )
