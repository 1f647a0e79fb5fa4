"""torchvision's transforms, v2, in a DataLoader with a worker per core."""

import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.contenders import view_loader


def chain(size: int, kind: str) -> v2.Compose:
    """The method's chain. `kind`: of images, "tensor" (uint8) or "pil"."""
    kernel = 2 * max(1, size // 20) + 1
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            *([v2.PILToTensor()] if kind == "pil" else []),
            v2.GaussianBlur(kernel, (0.1, 2.0)),
            v2.RandomSolarize(128, 0.2),
        ]
    )


def batches(settings):
    """Batches of uint8 [N, K, 3, S, S]."""
    kind = settings["kind"]

    def prepare(image):
        return Image.fromarray(image) if kind == "pil" else torch.tensor(image).permute(2, 0, 1)

    views = view_loader.Views(
        settings["images"], settings["num_views"], chain(settings["size"], kind), prepare
    )
    return view_loader.loader(views, settings["batch"])


def run(settings, tick):
    view_loader.run_loader(batches(settings), tick)
