"""`python -m tools.preview_views`: the views of a recipe, as a picture."""

import dataclasses
import pathlib

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.paths import check_images
from msbreg_tf.errors import one_line
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class PreviewSettings(Settings):
    """The picture."""

    output: str = setting("views.png", "PNG file to write.")
    images: int = setting(8, "How many images; each is a row.", low=1)


def _run(own: PreviewSettings, *parts: Settings) -> None:
    config = Config(*parts)
    check_images(config.data.dataset, config.data.data_dir)
    output = pathlib.Path(own.output).expanduser()
    if output.suffix.lower() != ".png" or not output.parent.is_dir():
        raise ValueError(f"--output={output}: expected a .png file in a folder that exists.")

    import tensorflow as tf

    from msbreg_tf.data.images.grid import view_grid
    from msbreg_tf.data.pipeline.probe import probe_views
    from msbreg_tf.data.sources.table import open_source
    from msbreg_tf.files.whole import write_whole
    from msbreg_tf.run.build import build_augmentation

    images, views = probe_views(
        open_source(config.data),
        build_augmentation(config),
        seed=config.run.seed,
        num_views=config.objective.num_views,
        count=own.images,
    )
    png = tf.io.encode_png(view_grid(images, views)).numpy()
    try:
        write_whole(output, lambda file: file.write(png))
    except OSError as error:
        raise ValueError(f"--output={output}: can't be written ({one_line(error)}).") from error
    print(f"Wrote {output}: {len(images)} images, each with {views.shape[1]} views.")


COMMAND = Command((PreviewSettings, *PARTS), _run)
