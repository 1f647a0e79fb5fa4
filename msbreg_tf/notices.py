"""What a person should know while a command goes on, a line each, on stderr."""

import sys
from collections.abc import Sequence

from tqdm import tqdm

_NAMED = 20


def note(text: str) -> None:
    """Says something that ends nothing; a progress bar stays whole."""
    tqdm.write(f"note: {text}", file=sys.stderr)
    sys.stderr.flush()


def note_broken(what: str, names: Sequence[str], total: int, done: str = "left out") -> None:
    """Names the images that could not be read, the first of many.

    Args:
      what: which images: "folder train".
      names: of the broken ones; without any, nothing is said.
      total: how many images there are, the broken ones included.
      done: what became of them.
    """
    if not names:
        return
    more = [f"… and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    head = f"{what}: {len(names)} of {total:,} images can't be read and were {done}:"
    note("\n  ".join([head, *names[:_NAMED], *more]))
