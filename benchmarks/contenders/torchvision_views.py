"""torchvision's transforms, v2, on uint8 tensors, in a DataLoader with a worker per core."""

import torch
from torchvision.transforms import v2

from benchmarks.contenders import view_loader


def chain(size: int) -> v2.Compose:
    """The method's chain; crop and jitter of PIL images took as long on two cores."""
    kernel = 2 * max(1, size // 20) + 1
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.GaussianBlur(kernel, (0.1, 2.0)),
            v2.RandomSolarize(128, 0.2),
        ]
    )


def batches(settings):
    """Batches of uint8 [N, K, 3, S, S]."""
    views = view_loader.Views(
        settings["images"],
        settings["num_views"],
        chain(settings["size"]),
        prepare=lambda image: torch.tensor(image).permute(2, 0, 1),
    )
    return view_loader.loader(views, settings["batch"])


def run(settings, tick):
    view_loader.run_loader(batches(settings), tick)
