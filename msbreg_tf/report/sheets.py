"""Queries beside what is like them, as a picture or as a page."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from msbreg_tf.evaluation.features.files import file_images
from msbreg_tf.report.page import environment
from msbreg_tf.report.sprites import data_uri

Hits = Sequence[tuple[float, str]]  # similarity and path, the most similar first
_TILE, _GAP, _LINE = 128, 6, 14


def sheet_png(found: Sequence[tuple[str, Hits]], megapixels: float) -> bytes:
    """A PNG file with a row for each query: the query, a gap, then what is like it.

    Args:
      found: (path of a query, its hits), the same number of hits each.
      megapixels: larger images are not decoded; they are left black.
    """
    seen = _thumbnails(found, megapixels)
    most = max(len(hits) for _, hits in found)
    step, below = _TILE + _GAP, _TILE + _GAP + _LINE
    sheet = Image.new("RGB", ((1 + most) * step + 4 * _GAP, len(found) * below + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (query, hits) in enumerate(found):
        top = _GAP + row * below
        sheet.paste(Image.fromarray(seen[query]), (_GAP, top))
        for column, (similarity, path) in enumerate(hits, 1):
            left = 4 * _GAP + column * step
            sheet.paste(Image.fromarray(seen[path]), (left, top))
            draw.text((left, top + _TILE + 1), f"{similarity:.3f}", fill="#555")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sheet_html(found: Sequence[tuple[str, Hits]], megapixels: float) -> bytes:
    """One self-contained page with the same, and with paths; arguments as of `sheet_png`."""
    seen = {path: data_uri(image) for path, image in _thumbnails(found, megapixels).items()}
    rows = [
        (query, seen[query], [(similarity, path, seen[path]) for similarity, path in hits])
        for query, hits in found
    ]
    text = environment().get_template("sheet.html.j2").render(rows=rows)
    return text.encode("utf-8", "backslashreplace")


def _thumbnails(found: Sequence[tuple[str, Hits]], megapixels: float) -> dict[str, np.ndarray]:
    """{path: uint8 [_TILE, _TILE, 3]}; black for a file that can't be read any more."""
    paths = list(
        dict.fromkeys(path for query, hits in found for path in (query, *(p for _, p in hits)))
    )
    images = file_images(paths, _TILE, megapixels)(0, len(paths))
    return {path: image for path, (image, _) in zip(paths, images.as_numpy_iterator())}
