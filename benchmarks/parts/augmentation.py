"""Views per second of the method's augmentation, ours and other libraries'."""

import os

from benchmarks import arena, report
from benchmarks.images import write_images

NUM_VIEWS, BATCH = 4, 64
SIZES = {96: (128, 128), 224: (375, 500)}  # side of a view: height and width of the images


def contenders(size: int, images: str) -> list[arena.Contender]:
    settings = {"size": size, "images": images, "batch": BATCH, "num_views": NUM_VIEWS}
    peers = [
        ("albumentations, DataLoader", "albumentations_views", {}),
        ("kornia, DataLoader", "kornia_views", {}),
        ("torchvision v2 on tensors, DataLoader", "torchvision_views", {"kind": "tensor"}),
        ("torchvision v2 on PIL images, DataLoader", "torchvision_views", {"kind": "pil"}),
        ("lightly's BYOL transform, DataLoader", "lightly_views", {}),
    ]
    return [
        arena.Contender("**msbreg_tf**, tf.data", "msbreg_views", settings),
        arena.Contender("keras-cv's layers, tf.data", "keras_cv_views", settings),
        *(arena.Contender(name, m, settings | own, arena.PEERS) for name, m, own in peers),
    ]


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures both sizes; `folder` is for the images. Returns Markdown."""
    sections = []
    for size, (height, width) in SIZES.items():
        path = os.path.join(folder, f"images{height}x{width}.npy")
        write_images(path, 256, height, width)
        turns, failed = arena.compete(contenders(size, path), rounds, seconds, skip=4)
        sections += [
            f"Images of {height} × {width}, {NUM_VIEWS} views of {size} px, batches of {BATCH}:",
            report.table(turns, failed, "views/s", "CPU ms per view"),
        ]
    return "\n\n".join(sections)
