"""The settings of a linear probe; the protocol they belong to is in `linear.py`."""

import dataclasses
import itertools
import math
from typing import Any

SCHEDULES = ("cosine", "steps")


@dataclasses.dataclass(frozen=True)
class LinearRecipe:
    """How the classifier is trained and its recipe chosen; a `LinearRecipe` that exists is valid.

    Attributes:
      learning_rates: one half of the grid.
      weight_decays: the other half, of the kernel alone.
      epochs: of the choice and of the final training, each.
      batch_size: rows in a step; all of them if there are fewer.
      momentum: of SGD, not Nesterov's.
      schedule: 'cosine' or 'steps', see `classifiers.rate_factor`.
      standardize: bring each feature to mean 0, variance 1 over the training rows.
      validation_fraction: of each class of the training split; unused by a grid of one point.
      seed: of the validation part and of the order of the rows.
    """

    learning_rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    epochs: int = 100
    batch_size: int = 256
    momentum: float = 0.9
    schedule: str = "cosine"
    standardize: bool = True
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        for name, values, low, strict in (
            ("learning_rates", self.learning_rates, 0, True),
            ("weight_decays", self.weight_decays, 0, False),
            ("epochs", [self.epochs], 1, False),
            ("sgd_batch_size", [self.batch_size], 1, False),
            ("momentum", [self.momentum], 0, False),
        ):
            bad = [v for v in values if not math.isfinite(v) or v < low or (strict and v == low)]
            if bad or not values:
                wanted = f"numbers {'above' if strict else 'of at least'} {low}"
                raise ValueError(f"--{name}={','.join(map(str, values))}: expected {wanted}.")
        if self.momentum >= 1:
            raise ValueError(f"--momentum={self.momentum}: expected less than 1.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"--schedule={self.schedule}: expected one of {', '.join(SCHEDULES)}.")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"--validation_fraction={self.validation_fraction}: expected between 0 and 1."
            )

    def points(self) -> list[tuple[float, float]]:
        """The grid: (learning rate, weight decay)."""
        return list(itertools.product(self.learning_rates, self.weight_decays))

    def protocol(self) -> dict[str, Any]:
        """All that decides the result besides the features, as JSON values."""
        protocol = {
            "classifier": "softmax from zero, momentum SGD, weight decay on the kernel",
            **dataclasses.asdict(self),
            "learning_rates": list(self.learning_rates),
            "weight_decays": list(self.weight_decays),
            "chosen_on": f"{self.validation_fraction} of each class of the training split",
            "tested": "once, by a classifier trained on the whole training split",
        }
        if len(self.points()) == 1:
            protocol.update(chosen_on="nothing chosen: one point", validation_fraction=None)
        return protocol
