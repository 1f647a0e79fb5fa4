"""CPU time of the host for the views of one image, with `--augment_on=host` and `device`."""

import dataclasses
import os
from typing import NamedTuple

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

from benchmarks.arena import progress  # isort: skip
from benchmarks.contenders import msbreg_views  # isort: skip
from benchmarks.costs.step import seconds_per_batch  # isort: skip
from benchmarks.images import write_images, write_photographs  # isort: skip

NUM_VIEWS, BATCH = 4, 8
MODES = ("host", "device")


class Images(NamedTuple):
    """What users have: one size in memory, or JPEG files of any size."""

    name: str
    height: int
    width: int
    in_memory: bool = False


SMALL = Images("images of 96 × 96 in memory", 96, 96, in_memory=True)
WEB = Images("JPEG files of 375 × 500", 375, 500)
CAMERA = Images("JPEG files of 3000 × 4000", 3000, 4000)
CASES = (("resnet18", 96, SMALL), ("resnet18", 96, WEB), ("resnet50", 224, WEB))
CASES += (("resnet50", 224, CAMERA),)


@dataclasses.dataclass(frozen=True)
class HostCost:
    """CPU milliseconds of one core for an image, and GFLOP of its training step.

    Attributes:
      network: encoder.
      size: S.
      images: what the views are made of.
      milliseconds: {"host" or "device": CPU ms per image}.
      gflop: multiplications and additions of the encoder's passes for one image.
    """

    network: str
    size: int
    images: Images
    milliseconds: dict[str, float]
    gflop: float


def host_costs(folder: str) -> list[HostCost]:
    """Measures all cases; `folder` is for the images."""
    found = []
    for network, size, images in CASES:
        path = _written(images, folder)
        settings = {"size": size, "images": path, "batch": BATCH, "num_views": NUM_VIEWS}
        milliseconds = {}
        for mode in MODES:
            batches = msbreg_views.batches({**settings, "augment_on": mode})
            seconds = seconds_per_batch(batches, skip=2, at_least=2.0)
            milliseconds[mode] = 1e3 * seconds / BATCH
        progress(f"{network} at {size} px, {images.name}: CPU ms per image {milliseconds}")
        found.append(HostCost(network, size, images, milliseconds, step_gflop(network, size)))
    return found


def _written(images: Images, folder: str) -> str:
    path = os.path.join(folder, f"{images.height}x{images.width}")
    if images.in_memory:
        path += ".npy"
    if not os.path.exists(path):
        write = write_images if images.in_memory else write_photographs
        write(path, 8 if images.height > 1000 else 64, images.height, images.width)
    return path


def step_gflop(network: str, size: int) -> float:
    """GFLOP of the encoders for one image of K views: forward, twice that back, and the target."""
    import tensorflow as tf

    from msbreg_tf.networks.encoder import build_encoder
    from msbreg_tf.networks.settings import NetworkSettings

    encoder = build_encoder(NetworkSettings(encoder=network))
    images = tf.TensorSpec([1, size, size, 3])
    graph = tf.function(encoder).get_concrete_function(images).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    operations = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    return 4 * NUM_VIEWS * operations / 1e9
