"""How long a run is, in steps."""

import dataclasses

from msbreg_tf.data.pipeline.views import steps_per_epoch
from msbreg_tf.run.config import Config


@dataclasses.dataclass(frozen=True)
class Length:
    """Epochs in steps."""

    steps_per_epoch: int
    warmup_steps: int
    total_steps: int

    @classmethod
    def of(cls, config: Config, num_images: int) -> "Length":
        """Steps of a run; an epoch drops the remainder that fills no batch.

        Raises:
          ValueError: fewer images than one batch.
        """
        per_epoch = steps_per_epoch(num_images, config.optimizer.batch_size)
        return cls(
            steps_per_epoch=per_epoch,
            warmup_steps=round(config.optimizer.warmup_epochs * per_epoch),
            total_steps=config.optimizer.epochs * per_epoch,
        )
