"""Many small images as one: a WebP file in a data URI, of which each tile shows its part."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image


class Sprite(NamedTuple):
    """Tiles in rows.

    Attributes:
      uri: the picture, "data:image/webp;base64,…".
      columns: tiles in a row.
      rows: how many rows.
    """

    uri: str
    columns: int
    rows: int

    def place(self, index: int) -> tuple[float, float]:
        """Where a tile is, as CSS's background-position in %."""
        row, column = divmod(index, self.columns)
        return 100 * column / max(self.columns - 1, 1), 100 * row / max(self.rows - 1, 1)


def sprite_of(pixels: np.ndarray, side: int, quality: int = 72) -> Sprite:
    """Makes one picture of many.

    Args:
      pixels: uint8 [n, S, S, 3], n ≥ 1.
      side: of a tile in pixels; images that are smaller keep their own.
      quality: of WebP, 0 to 100.
    """
    side = min(side, pixels.shape[1])
    columns = math.ceil(math.sqrt(len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    sheet = np.full([rows * side, columns * side, 3], 128, np.uint8)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        small = Image.fromarray(image)
        if image.shape[0] != side:
            small = small.resize((side, side), Image.Resampling.LANCZOS)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = small
    return Sprite(data_uri(sheet, quality), columns, rows)


def data_uri(pixels: np.ndarray, quality: int = 80) -> str:
    """An image, uint8 [H, W, 3], as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
