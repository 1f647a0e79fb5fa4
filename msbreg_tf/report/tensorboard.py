"""What TensorBoard's tabs Projector and HParams show of a run, added to its tensorboard/ folder."""

import os
from typing import Union

import numpy as np
import tensorflow as tf
from PIL import Image

from msbreg_tf.files.whole import write_text_whole, write_whole
from msbreg_tf.report.details import PLACES
from msbreg_tf.report.gallery import Gallery
from msbreg_tf.report.run_files import RunFiles

_SIDE = 32  # pixels of a thumbnail in the projector
_OURS = ".hparams"  # ends the event files that are written here
_MOST = 8192  # pixels of the sprite's side that the projector takes


def write_projector(folder: str, gallery: Gallery, features: np.ndarray) -> int:
    """Features, names, labels and thumbnails of the report's images, for the embedding projector.

    Args:
      folder: the run's tensorboard/.
      gallery: the images.
      features: float [n, F], theirs.

    Returns:
      How many images it has: as many as the projector's sprite can hold.
    """
    from tensorboard.plugins import projector

    count = min(len(features), (_MOST // _SIDE) ** 2)
    rows = ("\t".join(f"{value:.5g}" for value in row) for row in features[:count])
    write_text_whole(os.path.join(folder, "projector_features.tsv"), "\n".join(rows) + "\n")
    lines = [f"file\t{gallery.group_kind}"]
    for row in range(count):
        cells = (gallery.pictures.names[row], gallery.groups[gallery.labels[row]])
        # A tab or a line break would begin another cell.
        lines.append("\t".join(" ".join(cell.split()) or "-" for cell in cells))
    write_text_whole(os.path.join(folder, "projector_names.tsv"), "\n".join(lines) + "\n")
    sprite = _sprite(gallery.pictures.pixels[:count])
    path = os.path.join(folder, "projector_sprite.png")
    write_whole(path, lambda file: sprite.save(file, "PNG"))
    config = projector.ProjectorConfig()
    shown = config.embeddings.add(tensor_name="features", tensor_path="projector_features.tsv")
    shown.metadata_path = "projector_names.tsv"
    shown.sprite.image_path = "projector_sprite.png"
    shown.sprite.single_image_dim.extend([_SIDE, _SIDE])
    write_text_whole(os.path.join(folder, "projector_config.pbtxt"), str(config))
    return count


def write_hparams(folder: str, run: RunFiles) -> dict[str, float]:
    """A run's settings, without its folders, and results, for the table of several runs.

    Args:
      folder: the run's tensorboard/; what was written there before in this way is replaced.
      run: its files.

    Returns:
      {metric: value} of what was written: the last of each result, and of each logged k-NN.
    """
    from tensorboard.plugins.hparams import api

    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if name.endswith(_OURS):
            os.unlink(os.path.join(folder, name))
    values: dict[str, float] = {}
    for line in run.metrics:
        values |= {f"results/{k}": v for k, v in line.items() if k.startswith("knn") and v}
    for result in run.results:
        if result["value"] is not None:
            values[f"results/{result['protocol']['name']} {result['metric']}"] = result["value"]
    settings = {
        name: _plain(value)
        for name, value in run.settings.items()
        if value is not None and name not in PLACES
    }
    writer = tf.summary.create_file_writer(folder, filename_suffix=_OURS)
    with writer.as_default(step=run.last_step):
        api.hparams(settings, trial_id=run.name)
        for name, value in values.items():
            tf.summary.scalar(name, value)
    writer.close()
    return values


def _plain(value) -> Union[bool, float, str]:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _sprite(pixels: np.ndarray) -> Image.Image:
    """Thumbnails in rows of as many as there are rows, as the projector wants them."""
    columns = int(np.ceil(np.sqrt(len(pixels))))
    sheet = Image.new("RGB", (columns * _SIDE, columns * _SIDE))
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        small = Image.fromarray(image).resize((_SIDE, _SIDE))
        sheet.paste(small, (column * _SIDE, row * _SIDE))
    return sheet
