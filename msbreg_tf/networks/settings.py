"""Encoder and heads as settings, and the table of encoders. Nothing here imports TensorFlow."""

import dataclasses
from typing import NamedTuple, Optional

from msbreg_tf.settings import Settings, setting

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, taken off inside every encoder
IMAGENET_STD = (0.229, 0.224, 0.225)


class EncoderKind(NamedTuple):
    """A row of `ENCODERS`.

    Attributes:
      module: name of the module of this package whose `build(settings, image_size, **layers)` makes
        it; see `networks/encoder.py`.
      hidden_size: H of the heads, where the settings leave it open.
      projection_size: D, likewise.
    """

    module: str
    hidden_size: int
    projection_size: int


ENCODERS = {
    "resnet18": EncoderKind("resnet", hidden_size=512, projection_size=128),
    "resnet50": EncoderKind("resnet", hidden_size=2048, projection_size=256),
}


def _defaults(size: str) -> str:
    return ", ".join(f"{getattr(kind, size)} for {name}" for name, kind in ENCODERS.items())


@dataclasses.dataclass(frozen=True)
class NetworkSettings(Settings):
    """Encoder and heads."""

    encoder: str = setting("resnet18", "Encoder network.", choices=ENCODERS)
    encoder_width: int = setting(
        64, "Channels of the encoder's first stage; 64 is the standard ResNet.", low=1
    )
    stem: str = setting(
        "imagenet",
        "First layers: 'imagenet' is 7×7 stride 2 and a max-pool; 'cifar' is 3×3 stride 1 without "
        "max-pool, for images of about 32 px.",
        choices=("imagenet", "cifar"),
    )
    norm: str = setting(
        "batch",
        "Norm layer of encoder and heads: batch (over all replicas), layer, or group_ws (group "
        "norm with weight-standardised kernels).",
        choices=("batch", "layer", "group_ws"),
    )
    hidden_size: Optional[int] = setting(
        None,
        "Units H of the hidden layer of projector and predictor. Default: "
        f"{_defaults('hidden_size')}; BYOL itself used 4096.",
        low=1,
        source="supplement 1.2",
    )
    projection_size: Optional[int] = setting(
        None,
        f"Size D of projections and predictions. Default: {_defaults('projection_size')}.",
        low=2,
        source="supplement 1.2",
    )

    def heads(self) -> tuple[int, int]:
        """Returns (H, D) with the encoder's defaults filled in."""
        kind = ENCODERS[self.encoder]
        return self.hidden_size or kind.hidden_size, self.projection_size or kind.projection_size
