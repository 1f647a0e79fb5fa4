"""Exports what a trained encoder is compared with: raw pixels, or the untrained encoder of a seed.

    python -m benchmarks.baseline_export --baseline=untrained --export=runs/untrained/export/0 \
        --flagfile=flags/quickstart.cfg --seed=0
"""

import msbreg_tf  # noqa: F401 - sets TensorFlow's environment, so it must come before TensorFlow

from absl import flags  # isort: skip
from tensorflow import keras  # isort: skip

from msbreg_tf.commands import cli  # isort: skip
from msbreg_tf.run.build import build_model  # isort: skip
from msbreg_tf.run.export import export_encoder  # isort: skip

FLAGS = flags.FLAGS
flags.DEFINE_enum("baseline", "untrained", ["raw-pixels", "untrained"], "What to export.")
flags.DEFINE_string("export", None, "Folder of the SavedModel.")
cli.define_flags()


def main(argv):
    del argv
    config = cli.config_from_flags()
    size = config.data.image_size
    keras.utils.set_random_seed(config.run.seed)  # the same initial weights as the run's
    if FLAGS.baseline == "untrained":
        encoder = build_model(config, total_steps=1).encoder
    else:
        layers = [keras.Input([size, size, 3]), keras.layers.Flatten()]
        encoder = keras.Sequential(layers)
    recipe = {"method": FLAGS.baseline, "seed": config.run.seed}
    metadata = {"step": 0, "recipe": config.settings() | recipe}
    print(export_encoder(encoder, FLAGS.export, image_size=size, metadata=metadata))


if __name__ == "__main__":
    cli.run(main, own_flags=("baseline", "export"))
