"""torchvision's operations on PIL images, and PIL's blur: what lightly's transform does."""

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional

from benchmarks.same import forced


def on_image(operation):
    return lambda image: np.asarray(operation(Image.fromarray(image)))


def on_part(operation):
    return on_image(lambda image: operation(image.crop((0, 0, forced.SIZE, forced.SIZE))))


OPERATIONS = {
    "crop": on_image(
        lambda x: functional.resized_crop(
            *(x, forced.TOP, forced.LEFT, forced.HEIGHT, forced.WIDTH), [forced.SIZE] * 2
        )
    ),
    "flip": on_part(functional.horizontal_flip),
    "brightness": on_part(lambda x: functional.adjust_brightness(x, forced.BRIGHTNESS)),
    "contrast": on_part(lambda x: functional.adjust_contrast(x, forced.CONTRAST)),
    "saturation": on_part(lambda x: functional.adjust_saturation(x, forced.SATURATION)),
    "hue": on_part(lambda x: functional.adjust_hue(x, forced.HUE)),
    "grey": on_part(lambda x: functional.rgb_to_grayscale(x, 3)),
    "blur": on_part(lambda x: x.filter(ImageFilter.GaussianBlur(forced.SIGMA))),
    "solarisation": on_part(lambda x: functional.solarize(x, 128)),
}
