"""Which exports there are, for those who name a folder that is none."""

import glob
import os


def hint(path: str) -> str:
    """What to give in place of a folder that holds no export, in a sentence.

    The newest export below it is named or, if it does not exist, as the STEP of an example does
    not, the newest one beside it.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    place = folder if os.path.isdir(folder) else os.path.dirname(folder)
    is_near = place == folder or os.path.basename(place) == "export"
    inside = _exports_below(place) if is_near else []
    if not inside:
        return "Give a run's export/<step>."
    newest = max(inside, key=os.path.getmtime)
    if not os.path.isabs(os.path.expanduser(path)):
        newest = os.path.relpath(newest)
    return f"Did you mean {newest}?"


def _exports_below(place: str) -> list[str]:
    """Finished exports as far down as runs/ has them; not further, as this may be a whole disk."""
    patterns = ("*/" * depth + "saved_model.pb" for depth in (1, 2, 3))
    found = [
        path for each in patterns for path in glob.glob(os.path.join(glob.escape(place), each))
    ]
    return [os.path.dirname(path) for path in found]
