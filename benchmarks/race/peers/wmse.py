"""W-MSE (Ermolov et al. 2021): lightly's loss over all pairs of K views, all of them whitened."""

import torch
from lightly.loss import WMSELoss
from lightly.models.modules.heads import ProjectionHead

from benchmarks.race.peers.method import Siamese


class WMSE(Siamese):
    """The loss takes all views at once."""

    def loss(self, projections):
        return self.criterion(projections)


def build(network, num_views, settings):
    hidden, size = settings["hidden"], settings["size"]

    def projector(features):
        first = (features, hidden, torch.nn.BatchNorm1d(hidden), torch.nn.ReLU())
        return ProjectionHead([first, (hidden, size, None, None)])

    criterion = WMSELoss(size, w_size=settings["whitened"], num_samples=num_views)
    return WMSE(network, num_views, projector, criterion)
