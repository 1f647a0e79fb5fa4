"""Pictures with boxes, as both readers of annotations give them."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from msbreg_tf.files.whole import sha256_of

_ROUNDING = 1.0  # pixels that a box may stick out: annotations count from 0 or 1, and are rounded


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image file and its n objects.

    Attributes:
      name: unique in its split: "VOC2007/000005", or COCO's image id.
      path: of the file.
      width: in pixels.
      height: in pixels.
      boxes: float64 [n, 4], left, top, right, bottom in pixels from the image's corner, so that the
        whole image is (0, 0, width, height).
      labels: int64 [n], rows of the split's `names`.
      ignored: bool [n]: VOC's "difficult", COCO's "iscrowd".
      masks: of each object COCO's segmentation, polygons or run lengths; None in VOC's layout.
    """

    name: str
    path: str
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    masks: Optional[tuple[Any, ...]] = None


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures in the order of their annotations.

    Attributes:
      names: of the classes.
      pictures: all of them, those without objects too.
      left_out: objects without any area, which were left out.
      category_ids: COCO's number of each class; empty in VOC's layout.
      annotations: COCO's file, which its own evaluation reads; None in VOC's layout.
    """

    names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    left_out: int = 0
    category_ids: tuple[int, ...] = ()
    annotations: Optional[str] = None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of COCO's file, or of VOC's names, sizes, boxes and classes.

        The pixels are not read.
        """
        if self.annotations is not None:
            return sha256_of(self.annotations)[:16]
        digest = hashlib.sha256(repr(self.names).encode())
        for picture in self.pictures:
            digest.update(repr((picture.name, picture.width, picture.height)).encode())
            for array in (picture.boxes, picture.labels, picture.ignored):
                digest.update(array.tobytes())
        return digest.hexdigest()[:16]


def picture(
    name: str,
    path: str,
    size: tuple[int, int],
    objects: Sequence[tuple[tuple[float, ...], int, bool]],
    masks: Optional[Sequence[Any]] = None,
) -> Picture:
    """A `Picture` of (box, label, ignored) for each object."""
    boxes, labels, ignored = zip(*objects) if objects else ((), (), ())
    return Picture(
        name,
        path,
        *size,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(ignored, bool),
        None if masks is None else tuple(masks),
    )


def inside(
    box: tuple[float, float, float, float], size: tuple[int, int], where: str
) -> tuple[float, float, float, float]:
    """The box, cut to the image where it sticks out by rounding.

    Args:
      box: left, top, right, bottom in pixels from the image's corner.
      size: width and height of the image.
      where: file and line, for the message.

    Raises:
      ValueError: right of or below itself, or more than a pixel outside of the image.
    """
    (left, top, right, bottom), (width, height) = box, size
    shown = f"the box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
    if not (left <= right and top <= bottom):  # also if one is not a number
        raise ValueError(f"{where}: {shown} has a negative size. Correct it or remove the object.")
    out = max(-left, -top, right - width, bottom - height)
    is_beside = right <= 0 or bottom <= 0 or left >= width or top >= height
    if out > _ROUNDING or is_beside:
        raise ValueError(
            f"{where}: {shown} lies outside of the image of {width}×{height} pixels. Correct it or "
            "remove the object."
        )
    return (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
