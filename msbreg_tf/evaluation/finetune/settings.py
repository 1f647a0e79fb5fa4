"""The settings of a fine-tuning; the protocol they belong to is in `training.py`.

Nothing here imports TensorFlow.
"""

import dataclasses
from typing import Any, Optional

from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class FineTuneSettings(Settings):
    """How encoder and classifier are trained."""

    workdir: Optional[str] = setting(
        None, "Folder for the checkpoints of this fine-tuning.", changes_result=False
    )
    classifier_lr: float = setting(
        0.25,
        "Learning rate of the classifier at the start, not scaled by the batch size: 2.0 for 1 % "
        "of ImageNet, 0.25 for 10 %.",
        above=0,
        source="supplement 2.2",
    )
    encoder_lr: float = setting(
        2.5e-4,
        "Learning rate of the encoder at the start; 0 freezes it and its batch norm statistics. "
        "Frozen for 1 % of ImageNet, 2.5e-4 for 10 %.",
        low=0,
        source="supplement 2.2",
    )
    epochs: int = setting(50, "Epochs of the cosine schedule.", low=1, source="BYOL: 30 or 50")
    batch_size: int = setting(
        1024, "Images in a step; all of them if there are fewer.", low=1, source="supplement 2.2"
    )
    momentum: float = setting(
        0.9, "Nesterov momentum of SGD.", low=0, below=1, source="supplement 2.2"
    )
    fraction: float = setting(
        1.0,
        "Part of --train_split to train on, equally many images of each class, chosen by --seed. "
        "1 for all. SimCLR's lists: --dataset=imagenet2012_subset/1pct or /10pct with 1.",
        above=0,
        high=1,
    )
    crop_area_min: float = setting(
        0.08,
        "Smallest random crop, as a fraction of the image's area.",
        above=0,
        high=1,
        source="SimCLR",
    )
    centre_crop: float = setting(
        1.0,
        "Side of the test crop, as a fraction of the image's shorter side (SimCLR on ImageNet: "
        "0.875). The default is what the export does.",
        above=0,
        high=1,
    )
    seed: int = setting(
        0,
        "Seed of the fraction, the classifier's initial weights, the order and the crops.",
        low=0,
    )
    cache_mb: int = setting(
        4096,
        "Hold the encoded training images in memory if they need at most this much; else stream "
        "them through a shuffle buffer.",
        unit="MiB",
        low=0,
        changes_result=False,
    )

    def protocol(self) -> dict[str, Any]:
        """All that decides the result besides encoder and data, as JSON values."""
        frozen = self.encoder_lr == 0
        return {
            "network": "online encoder, " + ("frozen" if frozen else "fine-tuned"),
            "batch_norm": "moving statistics" if frozen else "statistics of the batch",
            "features": "pooled, before the projector",
            "augmentation": "random resized crop and flip; test: central crop",
            "optimizer": "Nesterov SGD, cosine to 0, no weight decay",
            **self.stamp(),
            "tested": "once, after the last epoch",
        }
