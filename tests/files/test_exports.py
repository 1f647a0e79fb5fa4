"""What is named in place of a folder that is no export."""

import os

import pytest

from msbreg_tf.files.exports import hint

ASK = "Give a run's export/<step>."


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A current folder where runs/mine has exports 9 and 12, of which 12 is the newer one."""
    monkeypatch.chdir(tmp_path)
    for step in (9, 12):
        path = tmp_path / "runs" / "mine" / "export" / str(step) / "saved_model.pb"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path.parent, (step, step))
    unfinished = tmp_path / "runs" / "mine" / "export" / ".13-writing" / "saved_model.pb"
    unfinished.parent.mkdir()
    unfinished.touch()
    return tmp_path / "runs"


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("runs/mine/export/STEP", "Did you mean runs/mine/export/12?"),  # pasted from a page
        ("runs/mine/export/13", "Did you mean runs/mine/export/12?"),
        ("runs/mine", "Did you mean runs/mine/export/12?"),
        ("runs", "Did you mean runs/mine/export/12?"),
        ("runs/mine/export", "Did you mean runs/mine/export/12?"),
        ("runs/other/export/STEP", ASK),
        ("runs/mine/exports", ASK),
        ("/nope", ASK),
    ],
)
def test_the_newest_export_below_or_beside(given, expected):
    assert hint(given) == expected


def test_an_absolute_path_is_answered_by_one(runs):
    assert hint(f"{runs}/mine/export/STEP") == f"Did you mean {runs}/mine/export/12?"
