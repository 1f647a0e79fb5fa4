"""The settings of a fine-tuning; the protocol they belong to is in `training.py`.

Nothing here imports TensorFlow.
"""

import dataclasses
import math
from typing import Any, Optional

from msbreg_tf.settings import Settings, setting, written

SCRATCH = "scratch"  # among the starts of a comparison: random weights
# (classifier, encoder): the learning rates that are tried where none are given.
RATES = ((0.03, 0.003), (0.03, 0.03), (0.1, 0.1))
_STEPS = 200


@dataclasses.dataclass(frozen=True)
class FineTuneSettings(Settings):
    """How encoder and classifier are trained."""

    workdir: Optional[str] = setting(
        None, "Folder for the checkpoints of this fine-tuning.", changes_result=False
    )
    classifier_lr: Optional[float] = setting(
        None,
        "Learning rate of the classifier at the start, not scaled by the batch size: 2.0 for 1 % "
        "of ImageNet, 0.25 for 10 % (supplement 2.2). A rate that is not given is chosen on a part "
        "of the training images that is set aside.",
        above=0,
    )
    encoder_lr: Optional[float] = setting(
        None,
        "Learning rate of the encoder at the start; 0 freezes it and its batch norm statistics. "
        "Frozen for 1 % of ImageNet, 2.5e-4 for 10 % (supplement 2.2).",
        low=0,
    )
    epochs: Optional[int] = setting(
        None,
        "Epochs of the cosine schedule (default: as many as make 200 steps, 10 to 100). BYOL: 30 "
        "or 50.",
        low=1,
    )
    batch_size: Optional[int] = setting(
        None,
        "Images in a step; all of them if there are fewer (default: a tenth of the images, 16 to "
        "256). The supplement's is 1024.",
        low=1,
    )
    start: str = setting(
        "probe",
        "Where the classifier starts: at a linear classifier trained on the frozen features, or at "
        "'random' weights as in the supplement.",
        choices=("probe", "random"),
        source="Kumar et al. 2022",
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

    def rates(self) -> list[tuple[float, float]]:
        """(classifier, encoder): the learning rates to choose from; one pair if both are given."""
        pairs = [
            (
                classifier_lr if self.classifier_lr is None else self.classifier_lr,
                encoder_lr if self.encoder_lr is None else self.encoder_lr,
            )
            for classifier_lr, encoder_lr in RATES
        ]
        return list(dict.fromkeys(pairs))

    def at(self, num_images: int) -> "FineTuneSettings":
        """The settings for so many training images, with a number for batch size and epochs."""
        batch = self.batch_size or _between(16, 2 ** round(math.log2(num_images / 10)), 256)
        steps = max(1, num_images // batch)
        epochs = self.epochs or _between(10, round(_STEPS / steps), 100)
        return dataclasses.replace(self, batch_size=batch, epochs=epochs)

    def protocol(self, network: str = "online encoder") -> dict[str, Any]:
        """All that decides the result besides encoder and data, as JSON values.

        Args:
          network: what is fine-tuned.
        """
        network += ", " + {None: "chosen", 0: "frozen"}.get(self.encoder_lr, "fine-tuned")
        chosen = {}
        if len(self.rates()) > 1:
            chosen["rates"] = "the best on a fifth of the training images"
            chosen["rates_tried"] = [list(pair) for pair in self.rates()]
        return {
            "network": network,
            "batch_norm": "statistics of the batch, of a frozen encoder the moving ones",
            "features": "pooled, before the projector",
            "augmentation": "random resized crop and flip; test: central crop",
            "optimizer": "Nesterov SGD, cosine to 0, no weight decay",
            **self.stamp(),
            **chosen,
            "tested": "once, after the last epoch",
        }


@dataclasses.dataclass(frozen=True)
class ComparisonSettings(FineTuneSettings):
    """How encoder and classifier are trained, and what from, where several starts are compared."""

    compare: tuple[str, ...] = setting(
        (),
        "Answers whether pretraining helped: fine-tunes as well from these weights of the same "
        "network, with the same labels and schedule. 'scratch' are random ones; others are read "
        "from an export or a file, as --init_from of training does.",
        changes_result=False,
    )
    fractions: tuple[float, ...] = setting(
        (0.01, 0.1, 1.0),
        "With --compare: parts of --train_split to train on, instead of --fraction.",
        above=0,
        high=1,
        changes_result=False,
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2),
        "With --compare: seeds to repeat each of them with, instead of --seed.",
        low=0,
        changes_result=False,
    )
    picture: Optional[str] = setting(
        None,
        "With --compare: PNG file of accuracy against labels (default: accuracy.png in --workdir). "
        "It needs matplotlib.",
        changes_result=False,
    )

    def __post_init__(self):
        super().__post_init__()
        alone, several = ("fraction", "seed"), ("fractions", "seeds", "picture")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default or field.name not in (alone if self.compare else several):
                continue
            remedy = "with --compare give --fractions and --seeds"
            if not self.compare:
                remedy = "it needs --compare, such as --compare=scratch"
            raise ValueError(f"--{field.name}={written(value)}: {remedy}.")

    def parts(self) -> list["ComparisonSettings"]:
        """The settings of each fraction with each seed."""
        alone = {"compare": (), "fractions": _default("fractions"), "seeds": _default("seeds")}
        return [
            dataclasses.replace(self, **alone, picture=None, fraction=fraction, seed=seed)
            for fraction in self.fractions
            for seed in self.seeds
        ]


def _default(name: str) -> Any:
    return ComparisonSettings.__dataclass_fields__[name].default


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
