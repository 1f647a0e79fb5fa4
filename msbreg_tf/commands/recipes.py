"""The recipes that are shipped: flags/*.cfg in a checkout, msbreg_tf/recipes/ when installed."""

import difflib
import os
import pathlib

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FOLDERS = (os.path.join(_PACKAGE, "recipes"), os.path.join(os.path.dirname(_PACKAGE), "flags"))


def names() -> list[str]:
    """All recipes: "stl10", "eval/knn_stl10", "tables/table5"."""
    paths = pathlib.Path(_root()).rglob("*.cfg")
    return sorted(path.relative_to(_root()).with_suffix("").as_posix() for path in paths)


def path_of(recipe: str) -> str:
    """The flagfile of a recipe.

    Args:
      recipe: a name, with or without "eval/" or "tables/", or the path of a file.

    Raises:
      ValueError: there is neither.
    """
    if os.path.isfile(os.path.expanduser(recipe)):
        return os.path.expanduser(recipe)
    for name in names():
        if recipe in (name, name.rpartition("/")[2]):
            return os.path.join(_root(), f"{name}.cfg")
    close = difflib.get_close_matches(recipe, names(), n=3, cutoff=0.4) or names()
    raise ValueError(f"--recipe={recipe}: no such recipe or file. There are: {', '.join(close)}.")


def _root() -> str:
    return next((folder for folder in _FOLDERS if os.path.isdir(folder)), _FOLDERS[0])
