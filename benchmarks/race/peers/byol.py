"""BYOL (Grill et al. 2020): lightly's heads, loss and target update; τ rises to 1 by a cosine."""

import copy

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule

from benchmarks.race.peers.method import Method


class BYOL(Method):
    """Online and target network."""

    def __init__(self, network, num_views, settings):
        super().__init__(network, num_views)
        hidden, size = settings["hidden"], settings["size"]
        self.projector = BYOLProjectionHead(self.encoder.size, hidden, size)
        self.predictor = BYOLPredictionHead(size, hidden, size)
        self.target_encoder = copy.deepcopy(self.encoder)
        self.target_projector = copy.deepcopy(self.projector)
        for target in (self.target_encoder, self.target_projector):
            deactivate_requires_grad(target)
        self.tau = settings["tau"]
        self.criterion = NegativeCosineSimilarity()

    def before_step(self, step, total):
        tau = cosine_schedule(step, total, self.tau, 1)
        update_momentum(self.encoder, self.target_encoder, tau)
        update_momentum(self.projector, self.target_projector, tau)

    def embed(self, images):
        predictions = self.predictor(self.projector(self.encoder(images)))
        with torch.no_grad():
            targets = self.target_projector(self.target_encoder(images))
        return predictions, targets

    def loss(self, predictions, targets):
        (p0, p1), (z0, z1) = self.views_of(predictions), self.views_of(targets)
        return self.criterion(p0, z1) + self.criterion(p1, z0)


build = BYOL
