"""No benchmark names what the package no longer has: each module can be imported."""

import importlib
import pathlib

import pytest

from benchmarks import arena

_OF_PEERS = {"torch", "torchvision", "lightly", "kornia", "albumentations", "cv2"}
_ROOT = pathlib.Path(arena.ROOT)
MODULES = [
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for path in sorted((_ROOT / "benchmarks").rglob("*.py"))
    if path.name != "__init__.py"
]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported(module):
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name.partition(".")[0] not in _OF_PEERS:
            raise
        pytest.skip(f"{missing.name} is in .venv-bench")
