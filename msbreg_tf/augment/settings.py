"""The family of random views, as settings. Nothing here imports TensorFlow."""

import dataclasses
from typing import Optional

from msbreg_tf.settings import Settings, setting

_NO_BLUR_UP_TO = 32  # pixels


@dataclasses.dataclass(frozen=True)
class AugmentSettings(Settings):
    """The family of random views (supplement, Table 1). Strengths have torchvision's meaning."""

    crop_area_min: float = setting(
        0.08,
        "Smallest crop, as a fraction of the image's area.",
        above=0,
        high=1,
        source="SimCLR",
    )
    crop_area_max: float = setting(
        1.0,
        "Largest crop, as a fraction of the image's area.",
        above=0,
        high=1,
        source="SimCLR",
    )
    crop_ratio_max: float = setting(
        4 / 3,
        "Crop aspect ratios are log-uniform between 1/this and this.",
        low=1,
        source="SimCLR",
    )
    flip_probability: float = setting(
        0.5, "Probability of a horizontal flip.", low=0, high=1, source="Table 1"
    )
    jitter_probability: float = setting(
        0.8, "Probability of colour jitter.", low=0, high=1, source="Table 1"
    )
    brightness: float = setting(
        0.4, "Jitter multiplies brightness by 1 ± this.", low=0, high=1, source="Table 1"
    )
    contrast: float = setting(
        0.4, "Jitter multiplies contrast by 1 ± this.", low=0, high=1, source="Table 1"
    )
    saturation: float = setting(
        0.2, "Jitter multiplies saturation by 1 ± this.", low=0, high=1, source="Table 1"
    )
    hue: float = setting(
        0.1,
        "Jitter turns the hue by ± this.",
        unit="turns of the circle",
        low=0,
        high=0.5,
        source="Table 1",
    )
    grey_probability: float = setting(
        0.2, "Probability of dropping colour to grey.", low=0, high=1, source="Table 1"
    )
    blur_probability: Optional[float] = setting(
        None,
        "Probability of Gaussian blur. Default: 1.0 (Table 1), and 0 for views of 32 px or less, "
        "as is usual on CIFAR.",
        low=0,
        high=1,
    )
    blur_sigma_min: float = setting(
        0.1,
        "Smallest standard deviation of the blur.",
        unit="pixels",
        above=0,
        source="SimCLR",
    )
    blur_sigma_max: float = setting(
        2.0,
        "Largest standard deviation of the blur.",
        unit="pixels",
        above=0,
        source="SimCLR",
    )
    solarize_probability: float = setting(
        0.2, "Probability of solarisation.", low=0, high=1, source="Table 1"
    )
    solarize_threshold: float = setting(
        0.5,
        "Solarisation inverts values above this fraction of white.",
        low=0,
        high=1,
        source="BYOL",
    )
    augment_on: str = setting(
        "host",
        "Where views are made: 'host' makes them in the input pipeline; 'device' inside the step, "
        "which frees CPU cores beside a GPU. Images of different sizes are still cropped on the "
        "host. Views are the same up to rounding.",
        choices=("host", "device"),
    )

    def __post_init__(self):
        super().__post_init__()
        for low, high in (
            ("crop_area_min", "crop_area_max"),
            ("blur_sigma_min", "blur_sigma_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"--{low}={getattr(self, low)}: expected at most "
                    f"--{high}={getattr(self, high)}."
                )

    def at(self, image_size: int) -> "AugmentSettings":
        """The same for views of `image_size` pixels, with no setting left open."""
        if self.blur_probability is not None:
            return self
        blur = 0.0 if image_size <= _NO_BLUR_UP_TO else 1.0
        return dataclasses.replace(self, blur_probability=blur)
