"""kornia's layers with forced parameters, on float tensors in 0..1."""

import kornia.augmentation as layers
import torch
from kornia.geometry.transform import resize

from benchmarks.same import forced


def on_tensor(operation):
    def apply(image):
        pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
        return 255 * operation(pixels)[0].permute(1, 2, 0).numpy()

    return apply


def on_part(operation):
    return on_tensor(lambda image: operation(image[..., : forced.SIZE, : forced.SIZE]))


def crop(image):
    """What RandomResizedCrop does with cropping_mode="slice"."""
    rows = slice(forced.TOP, forced.TOP + forced.HEIGHT)
    columns = slice(forced.LEFT, forced.LEFT + forced.WIDTH)
    return resize(image[..., rows, columns], (forced.SIZE,) * 2, align_corners=True)


def jitter(**strengths):
    ranges = {name: (value, value) for name, value in strengths.items()}
    return on_part(layers.ColorJitter(**ranges, p=1.0))


OPERATIONS = {
    "crop": on_tensor(crop),
    "flip": on_part(layers.RandomHorizontalFlip(p=1.0)),
    "brightness": jitter(brightness=forced.BRIGHTNESS),
    "contrast": jitter(contrast=forced.CONTRAST),
    "saturation": jitter(saturation=forced.SATURATION),
    "hue": jitter(hue=forced.HUE),
    "grey": on_part(layers.RandomGrayscale(p=1.0)),
    "blur": on_part(layers.RandomGaussianBlur((forced.KERNEL,) * 2, (forced.SIGMA,) * 2, p=1.0)),
    "solarisation": on_part(layers.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=1.0)),
}
