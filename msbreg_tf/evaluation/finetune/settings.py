"""The settings of a fine-tuning; the protocol they belong to is in `finetune.py`."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class FineTuneRecipe:
    """How encoder and classifier are trained; a `FineTuneRecipe` that exists is valid.

    Attributes:
      classifier_lr: learning rate at the start, not scaled by the batch size.
      encoder_lr: the same of the encoder; 0 freezes it.
      epochs: of the schedule, cosine to 0.
      batch_size: images in a step; all of them if there are fewer.
      momentum: of SGD, Nesterov's.
      fraction: of the training split, class-balanced (see `subsets.class_balanced`); 1 for all.
      crop_area_min: smallest random crop, as a fraction of the image's area.
      centre_crop: side of the test crop, as a fraction of the image's shorter side.
      seed: of the fraction, the classifier's initial weights, the order and the views.
    """

    classifier_lr: float = 0.25
    encoder_lr: float = 2.5e-4
    epochs: int = 50
    batch_size: int = 1024
    momentum: float = 0.9
    fraction: float = 1.0
    crop_area_min: float = 0.08
    centre_crop: float = 1.0
    seed: int = 0

    def __post_init__(self):
        for name, low, strict, high in (
            ("classifier_lr", 0, True, None),
            ("encoder_lr", 0, False, None),
            ("epochs", 1, False, None),
            ("batch_size", 1, False, None),
            ("momentum", 0, False, 1),
            ("fraction", 0, True, 1),
            ("crop_area_min", 0, True, 1),
            ("centre_crop", 0, True, 1),
        ):
            value = getattr(self, name)
            low_enough = high is None or value <= high
            if math.isfinite(value) and low_enough and (value > low if strict else value >= low):
                continue
            wanted = f"{'more than' if strict else 'at least'} {low}"
            wanted += "" if high is None else f" and at most {high}"
            raise ValueError(f"--{name}={value}: expected {wanted}.")

    def protocol(self) -> dict[str, Any]:
        """All that decides the result besides encoder and data, as JSON values."""
        frozen = self.encoder_lr == 0
        return {
            "network": "online encoder, " + ("frozen" if frozen else "fine-tuned"),
            "batch_norm": "moving statistics" if frozen else "statistics of the batch",
            "features": "pooled, before the projector",
            "augmentation": "random resized crop and flip; test: central crop",
            "optimizer": "Nesterov SGD, cosine to 0, no weight decay",
            **dataclasses.asdict(self),
            "tested": "once, after the last epoch",
        }
