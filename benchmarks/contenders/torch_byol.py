"""Multi-view BYOL in PyTorch, of lightly's parts: ResNet-18, heads, loss and target update.

Chosen for speed: channels_last (slower without), all K views of a batch through a network at once
(a pass per view was slower), fused SGD with momentum, a GPU if there is one. With `mixed`, autocast
runs what it can in bfloat16.
"""

import copy

import torch
import torchvision
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MEAN = torch.tensor([0.485, 0.456, 0.406], device=DEVICE).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], device=DEVICE).view(1, 3, 1, 1)


class Branch(torch.nn.Module):
    """Encoder and projector."""

    def __init__(self, hidden: int = 512, size: int = 128):
        super().__init__()
        self.encoder = torchvision.models.resnet18()
        self.encoder.fc = torch.nn.Identity()
        self.projector = BYOLProjectionHead(512, hidden, size)

    def forward(self, images):
        return self.projector(self.encoder(images))


class BYOL:
    """Online and target network, and one step on K views: each view chases the others."""

    def __init__(self, mixed: bool = False):
        self.mixed = mixed
        self.online = Branch().to(DEVICE, memory_format=torch.channels_last)
        self.target = copy.deepcopy(self.online)
        deactivate_requires_grad(self.target)
        self.predictor = BYOLPredictionHead(128, 512, 128).to(DEVICE)
        parameters = [*self.online.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.SGD(
            parameters, lr=0.1, momentum=0.9, weight_decay=1e-5, fused=True
        )
        self.criterion = NegativeCosineSimilarity()
        self.steps = 0

    def step(self, views: torch.Tensor) -> float:
        """One optimizer step.

        Args:
          views: [N, K, 3, S, S], normalised float32, or uint8.

        Returns:
          The loss.
        """
        momentum = cosine_schedule(self.steps, 10_000_000, 0.996, 1)
        self.steps += 1
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.mixed):
            loss = self.loss(views)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        update_momentum(self.online, self.target, momentum)
        return loss.item()  # which also waits for a GPU

    def loss(self, views: torch.Tensor) -> torch.Tensor:
        """Mean over the ordered pairs of different views of minus their cosine."""
        num_views = views.shape[1]
        images = normalized(views.to(DEVICE).transpose(0, 1).flatten(0, 1))
        with torch.no_grad():
            targets = self.target(images).chunk(num_views)
        predictions = self.predictor(self.online(images)).chunk(num_views)
        pairs = [(i, j) for i in range(num_views) for j in range(num_views) if i != j]
        return sum(self.criterion(predictions[i], targets[j]) for i, j in pairs) / len(pairs)


def normalized(images: torch.Tensor) -> torch.Tensor:
    """Float32, channels last, of images [*, 3, S, S] that may be uint8."""
    if images.dtype == torch.uint8:
        images = (images.float() / 255 - MEAN) / STD
    return images.contiguous(memory_format=torch.channels_last)
