r"""Draws the views that training makes of its first images, to look at before training.

    python -m tools.preview_views --flagfile=flags/cifar10.cfg --output=views.png --images=8

One row per image: the image itself, resized, then its K views of step 0.
"""

import pathlib

from absl import flags

from msbreg_tf.commands import cli

_OUTPUT = flags.DEFINE_string("output", "views.png", "PNG file to write.")
_IMAGES = flags.DEFINE_integer("images", 8, "Rows.", lower_bound=1)


def main(argv: list[str]) -> None:
    del argv
    config = cli.config_from_flags()
    output = pathlib.Path(_OUTPUT.value).expanduser()
    if output.suffix.lower() != ".png" or not output.parent.is_dir():
        raise ValueError(f"--output={output}: expected a .png file in a folder that exists.")

    import tensorflow as tf  # late, so that --help and wrong flags do not wait for it

    from msbreg_tf.augment.multiview import build_augmentation
    from msbreg_tf.data.images.grid import view_grid
    from msbreg_tf.data.pipeline.probe import probe_views
    from msbreg_tf.data.sources.opening import open_source

    images, views = probe_views(
        open_source(config.data),
        build_augmentation(config),
        seed=config.run.seed,
        num_views=config.objective.num_views,
        count=_IMAGES.value,
    )
    try:
        output.write_bytes(tf.io.encode_png(view_grid(images, views)).numpy())
    except OSError as error:
        raise ValueError(f"--output={output}: can't be written ({error.strerror}).") from error
    print(f"Wrote {output}: {len(images)} images, each with {views.shape[1]} views.")


if __name__ == "__main__":
    cli.define_flags()
    cli.run(main, own_flags=("output", "images"))
