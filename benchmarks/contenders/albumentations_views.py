"""albumentations on OpenCV, in a DataLoader with a worker per core; uint8 from end to end."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news on import

import albumentations
import cv2
import numpy as np

from benchmarks.contenders import view_loader


def chain(size: int) -> albumentations.Compose:
    """The method's chain; strengths have torchvision's meaning here too."""
    kernel = 2 * max(1, size // 20) + 1
    return albumentations.Compose(
        [
            albumentations.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1), p=0.8),
            albumentations.ToGray(p=0.2),
            albumentations.GaussianBlur((kernel, kernel), (0.1, 2.0), p=1.0),
            albumentations.Solarize((0.5, 0.5), p=0.2),
        ]
    )


def read_rgb(path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def batches(settings):
    """Batches of uint8 [N, K, S, S, 3]."""
    compose = chain(settings["size"])
    read = {"read": read_rgb} if os.path.isdir(settings["images"]) else {}
    views = view_loader.Views(
        settings["images"],
        settings["num_views"],
        view=lambda image: compose(image=image)["image"],
        **read,
    )
    # A worker per core already; OpenCV's own threads would only get in each other's way.
    cv2.setNumThreads(0)
    return view_loader.loader(views, settings["batch"])


def run(settings, tick):
    view_loader.run_loader(batches(settings), tick)
