"""Which source belongs to the settings."""

from msbreg_tf.data.sources.folder import open_folder
from msbreg_tf.data.sources.imagenet100 import open_wnid_folders, split_folder
from msbreg_tf.data.sources.sample import TILE, load_sample
from msbreg_tf.data.sources.source import MemorySource, Source
from msbreg_tf.data.sources.tfds import open_tfds
from msbreg_tf.run.config import DataConfig


def open_source(config: DataConfig) -> Source:
    """Opens the images that `config` names.

    Raises:
      ValueError: there are no such images; the message names flag, value and remedy.
    """
    if config.dataset == "sample":
        images, _ = load_sample(config.split)
        name = f"sample {config.split}"
        return MemorySource(name, images, lambda pixels: pixels, (TILE, TILE))
    if config.dataset == "folder":
        return open_folder(config.data_dir, config.split)
    if config.dataset == "imagenet100":
        if folder := split_folder(config.data_dir, config.split):
            return open_wnid_folders(folder, config.split)
        try:
            return open_tfds(config)
        except ValueError as error:
            raise ValueError(
                f"--dataset=imagenet100: --data_dir={config.data_dir} has no folders "
                f"{config.split}/<wnid>, and TFDS can't help: {error}"
            ) from error
    return open_tfds(config)
