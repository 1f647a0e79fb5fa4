"""VICReg (Bardes et al. 2022): lightly's loss, and the head of its benchmark, narrower."""

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead

from benchmarks.race.peers.method import Siamese


def build(network, num_views, settings):
    width = settings["size"]
    return Siamese(
        network,
        num_views,
        lambda size: VICRegProjectionHead(size, width, width, num_layers=2),
        VICRegLoss(),
    )
