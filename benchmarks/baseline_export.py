"""Exports what a trained encoder is compared with: raw pixels, or the untrained encoder of a seed.

    python -m benchmarks.baseline_export --baseline=untrained --export=runs/untrained/export/0 \
        --flagfile=flags/quickstart.cfg --seed=0
"""

import dataclasses
from typing import Optional

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

from tensorflow import keras  # isort: skip

from msbreg_tf.commands import cli  # isort: skip
from msbreg_tf.run.build import build_model  # isort: skip
from msbreg_tf.run.config import PARTS, Config  # isort: skip
from msbreg_tf.evaluation.exporting import export_encoder  # isort: skip
from msbreg_tf.settings import Settings, setting  # isort: skip


@dataclasses.dataclass(frozen=True)
class BaselineSettings(Settings):
    """What to export, and where to."""

    baseline: str = setting("untrained", "What to export.", choices=("raw-pixels", "untrained"))
    export: Optional[str] = setting(None, "Folder of the SavedModel.")


def main(own: BaselineSettings, *parts: Settings) -> None:
    config = Config(*parts)
    size = config.data.image_size
    keras.utils.set_random_seed(config.run.seed)  # the same initial weights as the run's
    if own.baseline == "untrained":
        encoder = build_model(config, total_steps=1).encoder
    else:
        layers = [keras.Input([size, size, 3]), keras.layers.Flatten()]
        encoder = keras.Sequential(layers)
    recipe = {"method": own.baseline, "seed": config.run.seed}
    metadata = {"step": 0, "recipe": config.settings() | recipe}
    print(export_encoder(encoder, own.export, image_size=size, metadata=metadata))


if __name__ == "__main__":
    cli.run(cli.Command((BaselineSettings, *PARTS), main), __doc__)
