"""albumentations' transforms with forced parameters."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news on import

import albumentations as transforms

from benchmarks.same import forced


def on_image(*chain):
    compose = transforms.Compose(chain)
    return lambda image: compose(image=image)["image"]


def on_part(transform):
    apply = on_image(transform)
    return lambda image: apply(image[: forced.SIZE, : forced.SIZE])


def jitter(**strengths):
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    ranges = {name: (value, value) for name, value in (neutral | strengths).items()}
    return on_part(transforms.ColorJitter(**ranges, p=1.0))


_BOX = (forced.LEFT, forced.TOP, forced.LEFT + forced.WIDTH, forced.TOP + forced.HEIGHT)

OPERATIONS = {
    "crop": on_image(transforms.Crop(*_BOX), transforms.Resize(forced.SIZE, forced.SIZE)),
    "flip": on_part(transforms.HorizontalFlip(p=1.0)),
    "brightness": jitter(brightness=forced.BRIGHTNESS),
    "contrast": jitter(contrast=forced.CONTRAST),
    "saturation": jitter(saturation=forced.SATURATION),
    "hue": jitter(hue=forced.HUE),
    "grey": on_part(transforms.ToGray(p=1.0)),
    "blur": on_part(transforms.GaussianBlur((forced.KERNEL,) * 2, (forced.SIGMA,) * 2, p=1.0)),
    "solarisation": on_part(transforms.Solarize((0.5, 0.5), p=1.0)),
}
