"""The table of `mistakes.py` fits the tree; `python -m tests.mistakes` tries what it says."""

import ast
import collections

import pytest

from tests.mistakes import COPIED, MISTAKES, ROOT, occurrences


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_can_be_made_and_its_test_exists(mistake):
    assert occurrences(mistake) == 1
    assert mistake.before != mistake.after
    assert mistake.file.split("/")[0] in COPIED
    wrong = (ROOT / mistake.file).read_text().replace(mistake.before, mistake.after)
    ast.parse(wrong)  # a syntax error would turn any test red
    path, _, name = mistake.test.partition("::")
    functions = [
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert name.split("[")[0] in functions


def test_there_are_enough_different_mistakes():
    assert len(MISTAKES) >= 22
    counts = collections.Counter((mistake.file, mistake.before) for mistake in MISTAKES)
    assert max(counts.values()) == 1


def test_contributing_lists_them_all():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for mistake in MISTAKES:
        assert f"| {mistake.what} | `{mistake.test.removeprefix('tests/')}` |" in text
