"""The settings of a linear probe; the protocol they belong to is in `probe.py`.

Nothing here imports TensorFlow.
"""

import dataclasses
import itertools
from typing import Any

from msbreg_tf.settings import Settings, setting

SCHEDULES = ("cosine", "steps")


@dataclasses.dataclass(frozen=True)
class LinearSettings(Settings):
    """The classifier, and how its learning rate and weight decay are chosen."""

    learning_rates: tuple[float, ...] = setting(
        (0.003, 0.01, 0.03, 0.1, 0.3),
        "Grid of learning rates, for a mean loss over the batch and not scaled by its size.",
        above=0,
        source="ours",
    )
    weight_decays: tuple[float, ...] = setting(
        (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        "Grid of weight decays β of the kernel; the loss has β/2 ‖W‖².",
        low=0,
        source="ours",
    )
    epochs: int = setting(
        100,
        "Passes over the features, for the choice and for the final training each.",
        low=1,
        source="ours",
    )
    batch_size: int = setting(
        256,
        "Features in a step of SGD; all of them if there are fewer.",
        low=1,
        source="supplement 2.4",
        flag="sgd_batch_size",
    )
    momentum: float = setting(
        0.9, "Momentum of SGD, not Nesterov's.", low=0, below=1, source="supplement 2.4"
    )
    schedule: str = setting(
        "cosine",
        "How the learning rate falls: 'cosine' to 0, or 'steps', divided by 10 at 1/3 and 2/3 of "
        "all steps.",
        choices=SCHEDULES,
        source="supplement 2.4",
    )
    standardize: bool = setting(
        True, "Bring each feature to mean 0 and variance 1 over the training rows."
    )
    validation_fraction: float = setting(
        0.1,
        "Part of each class of --train_split that is set aside for the choice; a grid of one point "
        "needs none.",
        above=0,
        below=1,
    )
    seed: int = setting(0, "Seed of the validation part and of the order of the features.", low=0)

    def points(self) -> list[tuple[float, float]]:
        """The grid: (learning rate, weight decay)."""
        return list(itertools.product(self.learning_rates, self.weight_decays))

    def protocol(self) -> dict[str, Any]:
        """All that decides the result besides the features, as JSON values."""
        protocol = {
            "classifier": "softmax from zero, momentum SGD, weight decay on the kernel",
            **self.stamp(),
            "chosen_on": f"{self.validation_fraction} of each class of the training split",
            "tested": "once, by a classifier trained on the whole training split",
        }
        if len(self.points()) == 1:
            protocol.update(chosen_on="nothing chosen: one point", validation_fraction=None)
        return protocol
