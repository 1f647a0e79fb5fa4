"""The Python that docs/formats.md shows; needs no TensorFlow."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "formats.md"


def python_under(heading: str) -> str:
    """The only Python block of a section."""
    _, _, rest = PAGE.read_text().partition(f"\n## {heading}\n")
    (code,) = re.findall(r"^```python\n(.*?)^```", rest.partition("\n## ")[0], re.M | re.S)
    return code
