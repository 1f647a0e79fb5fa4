"""FastSiam (Pototzky et al. 2022): SimSiam with several views, as lightly's CIFAR-10 benchmark.

Every view's prediction chases the mean projection of the other views.
"""

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

from benchmarks.race.peers.method import Method


class FastSiam(Method):
    """One network, whose projections are targets without a gradient."""

    def __init__(self, network, num_views, settings):
        super().__init__(network, num_views)
        size = settings["size"]
        self.projector = SimSiamProjectionHead(self.encoder.size, size, size)
        self.predictor = SimSiamPredictionHead(size, size // 4, size)
        self.criterion = NegativeCosineSimilarity()

    def embed(self, images):
        projections = self.projector(self.encoder(images))
        return self.predictor(projections), projections.detach()

    def loss(self, predictions, projections):
        targets = torch.stack(self.views_of(projections))  # [K, n, D]
        others = (targets.sum(dim=0) - targets) / (self.num_views - 1)
        each = zip(self.views_of(predictions), others)
        return sum(self.criterion(p, z) for p, z in each) / self.num_views


build = FastSiam
