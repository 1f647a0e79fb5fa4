"""kornia on batches of float tensors: on a GPU if there is one, else in a worker per core.

With PyTorch's own two threads in one process it was several times slower on two cores.
"""

import kornia.augmentation as kornia
import numpy as np
import torch
from torch.utils import data

from benchmarks.contenders import view_loader

_CHUNK = 16  # images in one call; on two cores faster than 64


def chain(size: int) -> torch.nn.Sequential:
    """The method's chain on float [*, 3, H, W] in 0..1."""
    kernel = 2 * max(1, size // 20) + 1
    return torch.nn.Sequential(
        kornia.RandomResizedCrop((size, size), (0.08, 1.0), cropping_mode="slice"),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=1.0),
        kornia.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=0.2),
    )


class Batches(data.IterableDataset):
    """Batches of float32 [N, K, 3, S, S] in 0..1, without end."""

    def __init__(self, settings, device: str, chunk: int):
        self._images = torch.tensor(np.load(settings["images"])).permute(0, 3, 1, 2).contiguous()
        self._augment = chain(settings["size"])
        self._batch, self._num_views = settings["batch"], settings["num_views"]
        self._device, self._chunk = device, chunk

    def __iter__(self):
        while True:
            chosen = torch.randint(len(self._images), [self._batch])
            yield torch.cat([self._views(part) for part in chosen.split(self._chunk)])

    def _views(self, chosen):
        images = self._images[chosen].to(self._device).float() / 255
        with torch.no_grad():
            views = self._augment(images.repeat_interleave(self._num_views, 0))
        return views.unflatten(0, (-1, self._num_views))


def batches(settings):
    """Batches of float32 [N, K, 3, S, S] in 0..1."""
    if torch.cuda.is_available():
        return Batches(settings, "cuda", settings["batch"])
    return view_loader.loader(Batches(settings, "cpu", _CHUNK), batch=None)


def run(settings, tick):
    for views in batches(settings):
        if views.is_cuda:
            torch.cuda.synchronize()
        tick(views.shape[0] * views.shape[1])
