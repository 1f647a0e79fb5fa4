"""Views as `msbreg_tf.train` makes them: `view_batches` with `MultiViewAugmentation`."""

import os

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

import numpy as np  # isort: skip

from msbreg_tf.run.build import build_augmentation  # isort: skip
from msbreg_tf.run.config import config_from_settings  # isort: skip
from msbreg_tf.data.pipeline.views import ViewPlan, view_batches  # isort: skip
from msbreg_tf.data.settings import DataSettings  # isort: skip
from msbreg_tf.data.sources.folder import open_folder  # isort: skip
from msbreg_tf.data.sources.source import MemorySource  # isort: skip


def memory_source(path: str) -> MemorySource:
    """The images of a .npy file, as pixels in memory."""
    images = np.load(path)
    return MemorySource("benchmark", images, lambda pixels: pixels, images.shape[1:3])


def batches(settings):
    """Data set of uint8 [N, K, S, S, 3], without end, of a .npy file or of a folder of files.

    With `augment_on` "device", of what the training step makes its views of.
    """
    views, images = settings["num_views"], settings["images"]
    augment_on = settings.get("augment_on", "host")
    own = {"image_size": settings["size"], "num_views": views, "augment_on": augment_on}
    config = config_from_settings(own)
    augment = build_augmentation(config)
    of_files = os.path.isdir(images)
    return view_batches(
        ViewPlan(
            open_folder(DataSettings(data_dir=images)) if of_files else memory_source(images),
            augment,
            batch_size=settings["batch"],
            num_views=views,
            reduction=augment.reduction,
            on_device=augment_on == "device",
        )
    )


def run(settings, tick):
    for views in batches(settings):
        tick(views.shape[0] * views.shape[1])
