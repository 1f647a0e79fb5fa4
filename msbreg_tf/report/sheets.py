"""Queries beside what is like them, as a picture or as a page."""

import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from msbreg_tf.data.images.decoding import read_and_decode
from msbreg_tf.data.images.resizing import resize_and_crop
from msbreg_tf.report.page import environment
from msbreg_tf.report.sprites import data_uri

Hits = Sequence[tuple[float, str]]  # similarity and path, the most similar first
_TILE, _GAP = 128, 6


def sheet_png(found: Sequence[tuple[str, Hits]], megapixels: float) -> bytes:
    """A PNG file with a row for each query: the query, a gap, then what is like it.

    Args:
      found: (path of a query, its hits), the same number of hits each.
      megapixels: larger images are not decoded; they are left grey.
    """
    most = max(len(hits) for _, hits in found)
    step = _TILE + _GAP
    size = (_GAP + (1 + most) * step + 3 * _GAP, _GAP + len(found) * (step + 14))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, (query, hits) in enumerate(found):
        top = _GAP + row * (step + 14)
        sheet.paste(Image.fromarray(_thumbnail(query, megapixels)), (_GAP, top))
        for column, (similarity, path) in enumerate(hits, 1):
            left = 4 * _GAP + column * step
            sheet.paste(Image.fromarray(_thumbnail(path, megapixels)), (left, top))
            draw.text((left, top + _TILE + 1), f"{similarity:.3f}", fill="#555")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sheet_html(found: Sequence[tuple[str, Hits]], megapixels: float) -> bytes:
    """One self-contained page with the same, and with paths; arguments as of `sheet_png`."""
    rows = [
        (query, _uri(query, megapixels), [(s, path, _uri(path, megapixels)) for s, path in hits])
        for query, hits in found
    ]
    text = environment().get_template("sheet.html.j2").render(rows=rows)
    return text.encode("utf-8", "backslashreplace")


def _uri(path: str, megapixels: float) -> str:
    return data_uri(_thumbnail(path, megapixels))


def _thumbnail(path: str, megapixels: float) -> np.ndarray:
    """uint8 [_TILE, _TILE, 3]; grey if the file can't be read any more."""
    try:
        image = read_and_decode(os.fsencode(path), megapixels)
        return resize_and_crop(image, _TILE).numpy()
    except Exception:  # deleted meanwhile, or larger than is allowed: TensorFlow has many errors
        return np.full([_TILE, _TILE, 3], 190, np.uint8)
