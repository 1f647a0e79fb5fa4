"""The views that training saw, with what was done to each."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from msbreg_tf.augment.draws import image_draws
from msbreg_tf.augment.multiview import MultiViewAugmentation
from msbreg_tf.augment.operations import blur, crop, flip
from msbreg_tf.augment.operations.table import OPERATIONS, uniforms_of
from msbreg_tf.augment.planes import WHITE
from msbreg_tf.data.pipeline.seeds import order_seed, views_seed
from msbreg_tf.data.sources.source import Source
from msbreg_tf.report.sprites import data_uri

_LARGEST = 192  # pixels of the longer side of a picture in the report


@dataclasses.dataclass(frozen=True)
class View:
    """One view.

    Attributes:
      picture: data URI.
      box: left, top, width and height of its crop in % of the source image.
      words: what was done, for a person.
    """

    picture: str
    box: tuple[float, float, float, float]
    words: str


@dataclasses.dataclass(frozen=True)
class ViewsOfImage:
    """An image and its views; `picture` is a data URI, `ratio` its width over its height."""

    picture: str
    ratio: float
    views: tuple[View, ...]


def views_of(
    source: Source, augment: MultiViewAugmentation, *, seed: int, num_views: int, count: int
) -> list[ViewsOfImage]:
    """The first images of epoch 0 with the very views that training makes of them.

    Args:
      source: the run's images.
      augment: makes the views.
      seed: the run's.
      num_views: K.
      count: how many images, at most.
    """
    found = []
    for index, record in source.ordered(order_seed(seed, 0)).take(count):
        image = source.decode(record)
        draws = image_draws(views_seed(seed, 0), index, num_views)
        views = augment({"images": image[tf.newaxis], "draws": draws[tf.newaxis]})["images"][0]
        height, width = image.shape[:2]
        done = parameters_of(augment.settings, draws[tf.newaxis], height, width)
        made = [
            View(data_uri(view), _box(of_view, height, width), _words(of_view, height * width))
            for view, of_view in zip(views.numpy(), done)
        ]
        found.append(ViewsOfImage(_small(image.numpy()), width / height, tuple(made)))
    return found


def parameters_of(settings, draws: tf.Tensor, height: int, width: int) -> list[Mapping[str, float]]:
    """What the operations do to each view of one image, as numbers by name.

    Args:
      settings: of the views, at their size.
      draws: float32 [1, K, num_draws()].
      height: of the image, in pixels.
      width: likewise.
    """
    uniforms = {name: uniforms_of(name, draws) for name in OPERATIONS}
    size = (tf.constant(float(height)), tf.constant(float(width)))
    boxes = crop.crop_boxes(settings, uniforms["crop"], *size)
    jitter = OPERATIONS["jitter"].parameters(settings, uniforms["jitter"])
    columns = {
        **dict(zip(("top", "left", "height", "width"), boxes)),
        "flip": flip.is_flipped(settings, uniforms["flip"]),
        "blur": blur.sigma(settings, uniforms["blur"]),
        **{name: getattr(jitter, name) for name in ("brightness", "contrast", "saturation")},
        "turn": jitter.turn,
        "grey": OPERATIONS["grey"].parameters(settings, uniforms["grey"]),
        "solarize": OPERATIONS["solarize"].parameters(settings, uniforms["solarize"]),
    }
    values = {name: np.asarray(column)[0].astype(float) for name, column in columns.items()}
    return [{name: float(v[k]) for name, v in values.items()} for k in range(draws.shape[1])]


def _box(done: Mapping[str, float], height: int, width: int) -> tuple[float, float, float, float]:
    left, across = (100 * done[name] / width for name in ("left", "width"))
    top, down = (100 * done[name] / height for name in ("top", "height"))
    return left, top, across, down


def _words(done: Mapping[str, float], pixels: int) -> str:
    parts = [f"crop of {100 * done['height'] * done['width'] / pixels:.0f} % of the image"]
    if done["flip"]:
        parts.append("mirrored")
    if done["blur"] > 0.05:
        parts.append(f"blurred by {done['blur']:.1f} pixels")
    changes = [
        f"{name} × {done[name]:.2f}"
        for name in ("brightness", "contrast", "saturation")
        if abs(done[name] - 1) > 0.005
    ]
    if abs(done["turn"]) > 0.0014:
        changes.append(f"hue turned by {360 * done['turn']:+.0f}°")
    parts += changes
    if done["grey"]:
        parts.append("grey")
    if done["solarize"] < WHITE:
        parts.append("solarised")
    return ", ".join(parts)


def _small(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    scale = min(1.0, _LARGEST / max(height, width))
    if scale < 1:
        side = [max(1, round(height * scale)), max(1, round(width * scale))]
        image = tf.image.resize(image, side, antialias=True).numpy().round().astype(np.uint8)
    return data_uri(image)
