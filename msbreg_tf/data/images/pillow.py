"""What Pillow decodes and TensorFlow can't: WebP, TIFF, AVIF, JPEG 2000 and PPM."""

import io
import warnings
from typing import Union

import numpy as np
import tensorflow as tf

_FORMATS = ("WEBP", "TIFF", "AVIF", "JPEG2000", "PPM")


def is_of_pillow(start: bytes) -> bool:
    """Whether these first 32 bytes of a file are of such a format."""
    is_ppm = start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace()
    return (
        (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or start[:4] in (b"II*\0", b"MM\0*")
        or (start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"))
        or start[:4] == b"\xff\x4f\xff\x51"
        or start[:12] == b"\0\0\0\x0cjP  \r\n\x87\n"
        or is_ppm
    )


def decode_by_pillow(contents: Union[bytes, np.ndarray], megapixels: float) -> np.ndarray:
    """uint8 [H, W, 3], upright.

    Raises:
      tf.errors.InvalidArgumentError: it can't be decoded, or has more pixels.
    """
    if isinstance(contents, np.ndarray):  # a scalar of bytes, when TensorFlow runs eagerly
        contents = contents.item()
    try:
        return _decoded(contents, megapixels)
    except Exception as error:  # Pillow raises whatever a format's parser stumbles over
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from error


def _decoded(contents: bytes, megapixels: float) -> np.ndarray:
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
        image = Image.open(io.BytesIO(contents), formats=_FORMATS)
    with image:
        if image.width * image.height > megapixels * 1e6:
            raise ValueError(
                f"{image.height} x {image.width} pixels; the limit is {megapixels:g} M"
            )
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16 bits: the upper byte, as of a PNG
            grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(upright.convert("RGB"))
