"""The encoder that settings name, from the table in `settings.py`."""

import importlib
from typing import Optional

from tensorflow import keras

from msbreg_tf.networks.settings import ENCODERS, NetworkSettings


def build_encoder(
    settings: NetworkSettings = NetworkSettings(),  # noqa: B008 - it is frozen
    *,
    image_size: Optional[int] = None,
    synchronized: bool = False,
    name: str = "encoder",
) -> keras.Model:
    """Returns the encoder that `settings` describe.

    Args:
      settings: encoder, encoder_width, stem and norm count here.
      image_size: side of the training images in pixels, only to refuse images too small for the
        network; the model takes any size.
      synchronized: take batch norm's statistics over all replicas.
      name: of the model.

    Returns:
      A model from RGB images in 0..255, [*, S, S, 3], to float32 features [*, F].

    Raises:
      ValueError: images too small for the network.
    """
    module = importlib.import_module(f"msbreg_tf.networks.{ENCODERS[settings.encoder].module}")
    return module.build(settings, image_size=image_size, synchronized=synchronized, name=name)
