"""torchvision's functional operations, v2, on uint8 tensors."""

import torch
from torchvision.transforms.v2 import functional

from benchmarks.same import forced


def on_tensor(operation):
    def apply(image):
        return operation(torch.tensor(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()

    return apply


def on_part(operation):
    return on_tensor(lambda image: operation(image[:, : forced.SIZE, : forced.SIZE]))


OPERATIONS = {
    "crop": on_tensor(
        lambda x: functional.resized_crop(
            *(x, forced.TOP, forced.LEFT, forced.HEIGHT, forced.WIDTH),
            *([forced.SIZE] * 2,),
            antialias=True,
        )
    ),
    "flip": on_part(functional.horizontal_flip),
    "brightness": on_part(lambda x: functional.adjust_brightness(x, forced.BRIGHTNESS)),
    "contrast": on_part(lambda x: functional.adjust_contrast(x, forced.CONTRAST)),
    "saturation": on_part(lambda x: functional.adjust_saturation(x, forced.SATURATION)),
    "hue": on_part(lambda x: functional.adjust_hue(x, forced.HUE)),
    "grey": on_part(lambda x: functional.rgb_to_grayscale(x, 3)),
    "blur": on_part(lambda x: functional.gaussian_blur(x, [forced.KERNEL] * 2, [forced.SIGMA] * 2)),
    "solarisation": on_part(lambda x: functional.solarize(x, 128)),
}
