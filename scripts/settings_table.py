"""Writes the tables of docs/settings.md, which are made of the settings' declarations.

    python -m scripts.settings_table

A test fails if they are not those of the declarations.
"""

import pathlib
import re

from msbreg_tf.run.config import PARTS
from msbreg_tf.settings import declared, described, flagged, written

ROOT = pathlib.Path(__file__).resolve().parents[1]

PAGE = ROOT / "docs" / "settings.md"
BEGIN = "<!-- Below, scripts/settings_table.py writes. -->\n"


def page(text: str) -> str:
    """The page with its tables written anew."""
    return text.partition(BEGIN)[0] + BEGIN + "".join(map(_table, PARTS))


def _table(part) -> str:
    doc = part.__doc__.strip()
    title = re.split("[.:;(]", doc)[0].strip()
    lines = ["", f"### {title}", "", *([] if doc == f"{title}." else [doc, ""])]
    lines += ["| flag | default | what it does | source |", "|---|---|---|---|"]
    for name, field in flagged(part):
        what = described(field).removesuffix(_source(field, "(", ".)")).strip()
        value = field.default
        default = f"`{value:g}`" if isinstance(value, float) else f"`{written(value)}`"
        default = "–" if value is None else default
        cells = [f"`--{name}`", default, what, _source(field)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _source(field, before: str = "", after: str = "") -> str:
    source = declared(field).source
    return f"{before}{source[0].upper()}{source[1:]}{after}" if source else ""


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
