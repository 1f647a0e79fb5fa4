"""What the peers on PyTorch share: images in memory, and a DataLoader with a worker per core."""

import os
from collections.abc import Callable

import numpy as np
import torch
from torch.utils import data


class Views(data.Dataset):
    """K views of each image of a .npy file."""

    def __init__(self, path: str, num_views: int, view: Callable, prepare: Callable):
        """Takes `view`, prepared image → view, and `prepare`, called once for each image."""
        self._images = [prepare(image) for image in np.load(path)]
        self._num_views = num_views
        self._view = view

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        image = self._images[index]
        views = [self._view(image) for _ in range(self._num_views)]
        stack = torch.stack if torch.is_tensor(views[0]) else np.stack
        return stack(views)


def loader(views: Views, batch: int, start: Callable = lambda worker: None) -> data.DataLoader:
    """Batches [N, K, …] without end: an end would empty the pipeline every few batches."""
    endless = data.RandomSampler(views, replacement=True, num_samples=10**12)
    return data.DataLoader(
        views,
        batch_size=batch,
        sampler=endless,
        num_workers=len(os.sched_getaffinity(0)),
        worker_init_fn=start,
    )


def run_loader(batches, tick: Callable) -> None:
    """Consumes batches and counts their views."""
    for views in batches:
        tick(views.shape[0] * views.shape[1])
