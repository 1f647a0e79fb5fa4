"""Which images, as settings. Nothing here imports TensorFlow."""

import dataclasses
import re
from typing import Any, Optional

from msbreg_tf.settings import Settings, setting

MIB = 2**20  # bytes, for the settings that end in _mb
MEGAPIXELS = 200  # a file whose header promises more is not decoded
_SERVICE_ADDRESS = re.compile(r"grpc://(\[[0-9a-fA-F:.]+\]|[^/:\s\[\]]+):\d{1,5}")


def megapixels_setting() -> Any:
    """The setting `max_megapixels`, of every command that decodes images."""
    return setting(
        MEGAPIXELS,
        "Largest image: a file whose header promises more pixels is not decoded, but named and "
        "left out, as a broken one is.",
        unit="million pixels",
        above=0,
    )


@dataclasses.dataclass(frozen=True)
class DataSettings(Settings):
    """Which images."""

    dataset: str = setting(
        "sample",
        "Images to train on: a TFDS name (cifar10, stl10, imagenet2012, …); 'sample', the CIFAR-10 "
        "images shipped with the project; 'folder', any folder of images given by --data_dir; or "
        "'imagenet100', CMC's 100 classes of imagenet2012.",
    )
    split: str = setting(
        "train",
        "Split to train on, in TFDS notation: 'train', 'train+unlabelled', 'train[:10%]'. "
        "For --dataset=folder it must stay 'train': every image under --data_dir is used.",
    )
    data_dir: Optional[str] = setting(
        None,
        "Where the data lies: the TFDS directory (default: TFDS's own, ~/tensorflow_datasets), or "
        "the folder of images for --dataset=folder.",
        changes_result=False,
    )
    image_size: int = setting(
        32,
        "Side of the images that the encoder is exported and evaluated for, and of the views in "
        "training.",
        unit="pixels",
        low=8,
    )
    view_size: Optional[int] = setting(
        None,
        "Side of the views in training, if not --image_size. Smaller views cost less, and objects "
        "look larger in a crop than in a whole image, so the exported encoder may even gain.",
        unit="pixels",
        low=8,
        source="Touvron et al. 2019",
    )
    max_megapixels: float = megapixels_setting()
    cache_mb: int = setting(
        4096,
        "Hold the encoded images of a TFDS data set in memory if they need at most this much; else "
        "each is read from disk when its turn comes.",
        unit="MiB",
        low=0,
    )
    shuffle_buffer: int = setting(
        16384,
        "Encoded images held in memory to be mixed, where a data set that exceeds --cache_mb is "
        "not in TFRecord files, whose images are read in any order.",
        unit="images",
        low=1,
    )
    data_service: Optional[str] = setting(
        None,
        "Dispatcher of a tf.data service whose workers read, decode and augment the images: "
        "grpc://HOST:PORT, as `python -m tools.data_service` prints it. Results are the same.",
        changes_result=False,
    )
    service_buffer_mb: int = setting(
        4096,
        "Memory for batches that came from --data_service and wait for their turn.",
        unit="MiB",
        low=1,
        changes_result=False,
    )

    def __post_init__(self):
        super().__post_init__()
        check_service_address("data_service", self.data_service)


def check_service_address(flag: str, address: Optional[str]) -> None:
    """Refuses an address, if one is given, that is not grpc://HOST:PORT.

    Raises:
      ValueError: names the flag, the value and what was expected.
    """
    if address is not None and not _SERVICE_ADDRESS.fullmatch(address):
        raise ValueError(
            f"--{flag}={address}: expected grpc://HOST:PORT, for example grpc://localhost:5050."
        )
