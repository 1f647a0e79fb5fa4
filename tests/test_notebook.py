"""The notebook: it runs from top to bottom, and no outputs are committed."""

import importlib.util
import json
import pathlib
import re
import shlex
import sys
import types

import pytest

import msbreg_tf
from msbreg_tf.commands import cli, main
from msbreg_tf.run import pretraining

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATH = ROOT / "notebooks" / "first_run.ipynb"
CELLS = json.loads(PATH.read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_committed_without_outputs():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) > 3
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_commands_in_its_text_are_read_by_their_tools():
    text = "\n".join("".join(c["source"]) for c in CELLS if c["cell_type"] == "markdown")
    found = re.findall(r"^msbreg (\S+) (.*)$", text, re.M)
    assert len(found) > 1
    for name, arguments in found:
        cli.read_flags(main.command_of(name), [name, *shlex.split(arguments)])


@pytest.mark.slow
def test_every_cell_runs_and_it_ends_with_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if all(map(importlib.util.find_spec, ("nbclient", "nbformat", "ipykernel"))):
        pictures = run_by_nbclient(monkeypatch)
    else:
        pictures = run_without_jupyter(monkeypatch)
    assert pictures == 1
    assert (tmp_path / "pictures.npz").exists()
    assert (tmp_path / "runs" / "first" / "export" / "8" / "saved_model.pb").exists()


def run_by_nbclient(monkeypatch):
    """Runs it in a kernel of its own; returns how many pictures it showed."""
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def run_without_jupyter(monkeypatch):
    """Runs its cells one after the other in one namespace; returns how many pictures it showed."""
    shown = []
    display = types.ModuleType("IPython.display")
    display.display = shown.append
    package = types.ModuleType("IPython")
    package.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    # Other tests import the command of this name, which then hides the function; users need not.
    monkeypatch.setattr(msbreg_tf, "train", pretraining.train)
    names = {"__name__": "__main__"}
    for number, code in enumerate(CODE):
        exec(compile(code, f"cell {number}", "exec"), names)
    assert shown[0].size == (400, 512)
    assert names["nearest"].shape == (8, 5)
    return len(shown)
