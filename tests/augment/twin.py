"""The augmentation once more, slowly: one view at a time, in NumPy float64 and PIL.

Written from torchvision's documentation and DeepMind's BYOL (clipping), not from the layer.
"""

import itertools
import math

import numpy as np
from PIL import Image

GREY = np.array([0.2989, 0.587, 0.114])
DRAWS = (
    *(f"area {n}" for n in range(10)),
    *(f"ratio {n}" for n in range(10)),
    *("top", "left", "flip", "jitter", "brightness", "contrast", "saturation", "hue", "order"),
    *("grey", "blur", "sigma", "solarize"),
)
ORDERS = list(itertools.permutations(["brightness", "contrast", "saturation", "hue"]))


def crop_box(row, height, width, area=(0.08, 1.0), max_ratio=4 / 3):
    """torchvision's RandomResizedCrop.get_params with the draws of `row`."""
    draw = dict(zip(DRAWS, row))
    for n in range(10):
        area_draw, ratio_draw = draw[f"area {n}"], draw[f"ratio {n}"]
        pixels = height * width * (area[0] + (area[1] - area[0]) * area_draw)
        ratio = math.exp(math.log(max_ratio) * (2 * ratio_draw - 1))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(draw["top"] * (height - h + 1)), int(draw["left"] * (width - w + 1)), h, w
    if width / height < 1 / max_ratio:
        w, h = width, round(width * max_ratio)
    elif width / height > max_ratio:
        w, h = round(height * max_ratio), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def crop_and_resize(image, box, size):
    """PIL's antialiased bilinear resize of a crop, in float ("F" mode), [H, W, 3] to [S, S, 3]."""
    top, left, h, w = box
    crop = image[top : top + h, left : left + w].astype(np.float32)
    planes = [
        Image.fromarray(np.ascontiguousarray(crop[..., c]), "F").resize(
            (size, size), Image.BILINEAR
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1).astype(np.float64)


def turn_hue(image, turn):
    """To HSV and back, by the textbook's formulas; [..., 3]."""
    value, chroma = image.max(-1), image.max(-1) - image.min(-1)
    r, g, b = np.moveaxis(image, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        hue = np.select(
            [chroma == 0, value == r, value == g],
            [0, ((g - b) / chroma) % 6, (b - r) / chroma + 2],
            (r - g) / chroma + 4,
        )
    out = []
    for n in (5, 3, 1):
        k = (n + hue + 6 * turn) % 6
        out.append(value - chroma * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(out, axis=-1)


def jitter(image, brightness, contrast, saturation, turn, order):
    """The four operations one after the other; values 0 to 255, clipped at the end."""
    for name in ORDERS[order]:
        if name == "brightness":
            image = brightness * image
        elif name == "contrast":
            image = contrast * image + (1 - contrast) * (image @ GREY).mean()
        elif name == "saturation":
            image = saturation * image + (1 - saturation) * (image @ GREY)[..., None]
        else:
            image = turn_hue(image, turn)
    return np.clip(image, 0, 255)


def blur(image, sigma, radius):
    """Gaussian blur with mirrored edges, by padding and adding shifted images."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(image, padding, mode="reflect")
        size = image.shape[axis]
        image = sum(
            weight * np.take(padded, range(i, i + size), axis=axis)
            for i, weight in enumerate(weights)
        )
    return image


def view(image, row, size, with_blur=True, blur_last=False):
    """One view, uint8 [S, S, 3], with the default strengths of Table 1.

    The layer blurs before it changes colours; `blur_last` is the order that Table 1 prints.
    """

    def blurred(view, its_turn):
        its_turn = its_turn and with_blur
        return blur(view, 0.1 + 1.9 * draw["sigma"], size // 20) if its_turn else view

    row = np.asarray(row, np.float64)
    draw = dict(zip(DRAWS, row))
    view = crop_and_resize(image, crop_box(row, *image.shape[:2]), size)
    if draw["flip"] < 0.5:
        view = view[:, ::-1]
    view = blurred(view, not blur_last)
    if draw["jitter"] < 0.8:
        around = lambda strength, draw: 1 + strength * (2 * draw - 1)  # noqa: E731
        view = jitter(
            view,
            around(0.4, draw["brightness"]),
            around(0.4, draw["contrast"]),
            around(0.2, draw["saturation"]),
            around(0.1, draw["hue"]) - 1,
            int(24 * draw["order"]),
        )
    if draw["grey"] < 0.2:
        view = np.repeat((view @ GREY)[..., None], 3, axis=-1)
    view = blurred(view, blur_last)
    if draw["solarize"] < 0.2:
        view = np.where(view > 127.5, 255 - view, view)
    return np.floor(view + 0.5).astype(np.uint8)
