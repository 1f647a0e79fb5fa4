"""lightly's BYOL transform on PIL images, as its examples use it, in a DataLoader.

Each view gets the chain of its first view with solarisation, which is the method's chain.
"""

from lightly.transforms.byol_transform import BYOLView1Transform
from PIL import Image

from benchmarks.contenders import view_loader


def chain(size: int) -> BYOLView1Transform:
    return BYOLView1Transform(input_size=size, gaussian_blur=1.0, solarization_prob=0.2)


def batches(settings):
    """Batches of normalised float32 [N, K, 3, S, S]."""
    views = view_loader.Views(
        settings["images"], settings["num_views"], chain(settings["size"]), Image.fromarray
    )
    return view_loader.loader(views, settings["batch"])


def run(settings, tick):
    view_loader.run_loader(batches(settings), tick)
