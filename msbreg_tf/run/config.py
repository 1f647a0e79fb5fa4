"""All settings of a pretraining run, each declared once in the room that it belongs to.

Nothing here imports TensorFlow.
"""

import dataclasses
from typing import Any

from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.files.tensors.table import format_of
from msbreg_tf.method.settings import ObjectiveSettings, OptimizerSettings
from msbreg_tf.networks.settings import NetworkSettings
from msbreg_tf.run.settings import LOGGING, RunSettings
from msbreg_tf.settings import Settings

_TORCHVISION = {"encoder_width": 64, "stem": "imagenet", "norm": "batch"}


@dataclasses.dataclass(frozen=True)
class Config:
    """One run; a `Config` that exists is valid."""

    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    network: NetworkSettings = NetworkSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self):
        if self.augment.blur_sigma_max > self.view_size:
            flag = "image_size" if self.data.view_size is None else "view_size"
            raise ValueError(
                f"--blur_sigma_max={self.augment.blur_sigma_max:g}: expected at most "
                f"--{flag}={self.view_size}."
            )
        self._check_start()

    def _check_start(self) -> None:
        """Refuses networks that no file of torchvision or timm could hold the weights of."""
        source = format_of(self.run.init_from)
        if source is None or not source.of_torch:
            return
        for name, standard in _TORCHVISION.items():
            if (value := getattr(self.network, name)) != standard:
                raise ValueError(
                    f"--init_from={self.run.init_from}: files of torchvision and timm hold ResNets "
                    f"of --{name}={standard}, and this run has --{name}={value}. Remove that flag, "
                    "or start from an export."
                )

    def settings(self) -> dict[str, Any]:
        """All settings as one flat {name: value}."""
        return {name: value for part in self._parts() for name, value in part.values().items()}

    def result_settings(self) -> dict[str, Any]:
        """The settings that decide the result of a run; a resumed run must repeat them."""
        return {
            name: value for part in self._parts() for name, value in part.result_values().items()
        }

    def logging_settings(self) -> dict[str, Any]:
        """The settings that decide only what is logged; a resumed run may change them."""
        return {name: getattr(self.run, name) for name in LOGGING}

    @property
    def view_size(self) -> int:
        """Side of a view in pixels: `--view_size`, or `--image_size`."""
        return self.data.view_size or self.data.image_size

    @property
    def max_lr(self) -> float:
        """base_lr × N/256 × K (supplement 1.1)."""
        scale = self.optimizer.batch_size / 256 * self.objective.num_views
        return self.optimizer.base_lr * scale

    def _parts(self) -> list[Settings]:
        return [getattr(self, part.name) for part in dataclasses.fields(self)]


PARTS = tuple(part.type for part in dataclasses.fields(Config))


def config_from_settings(settings: dict[str, Any]) -> Config:
    """Builds a `Config` from a flat {name: value}; missing names keep their defaults.

    Raises:
      ValueError: an unknown name, or a value that breaks a rule; the message names the flag.
    """
    named = [{f.name for f in dataclasses.fields(part)} for part in PARTS]
    if unknown := sorted(set(settings) - set().union(*named)):
        raise ValueError(f"unknown settings: {', '.join(unknown)}.")
    return Config(
        *(
            part(**{name: settings[name] for name in names if name in settings})
            for part, names in zip(PARTS, named)
        )
    )
