"""What the peers on PyTorch share: images in memory, and a DataLoader with a worker per core."""

import os
import pathlib
from collections.abc import Callable
from typing import Optional

import numpy as np
import torch
from torch.utils import data

from benchmarks.turns import cores, die_with_parent


class Views(data.Dataset):
    """K views of each image of a .npy file, or of each file in a folder."""

    def __init__(
        self,
        path: str,
        num_views: int,
        view: Callable,
        prepare: Callable = lambda image: image,
        read: Callable = lambda image: image,
    ):
        """Finds the images.

        Args:
          path: of the .npy file or the folder.
          num_views: K.
          view: image → view.
          prepare: called once for each image, or each path of a file.
          read: called for what `prepare` returned whenever views of it are wanted.
        """
        found = sorted(pathlib.Path(path).iterdir()) if os.path.isdir(path) else np.load(path)
        self._images = [prepare(image) for image in found]
        self._num_views = num_views
        self._view = view
        self._read = read

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        image = self._read(self._images[index])
        views = [self._view(image) for _ in range(self._num_views)]
        stack = torch.stack if torch.is_tensor(views[0]) else np.stack
        return stack(views)


def loader(views: data.Dataset, batch: Optional[int]) -> data.DataLoader:
    """Batches [N, K, …] without end: an end would empty the pipeline every few batches.

    Args:
      views: of single images, or, if `batch` is None, an iterable of batches without end.
      batch: images in a batch.
    """
    endless = batch and data.RandomSampler(views, replacement=True, num_samples=10**12)
    return data.DataLoader(
        views,
        batch_size=batch,
        sampler=endless,
        num_workers=cores(),
        multiprocessing_context="fork",
        worker_init_fn=lambda worker: die_with_parent(),
    )


def run_loader(batches, tick: Callable) -> None:
    """Consumes batches and counts their views."""
    for views in batches:
        tick(views.shape[0] * views.shape[1])
