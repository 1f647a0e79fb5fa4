"""What a person is told: errors as one line, commands as they have to be typed."""

import pytest

from msbreg_tf.commands.main import SUBCOMMANDS
from msbreg_tf.errors import SUBCOMMANDS_OF_TOOLS, as_typed, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n\tlines"), "two lines"),
        (ValueError(), "ValueError"),
        (OSError("0123456789"), "0123456789"),
        (OSError("a/long/path: it is full"), "a/lo…full"),
    ],
)
def test_long_errors_keep_their_path_and_their_reason(error, text):
    assert one_line(error, limit=10) == text


def test_commands_are_those_of_a_checkout_or_of_the_installed_package():
    text = (
        "python -m tools.knn_eval --flagfile=flags/eval/knn_stl10.cfg; python -m msbreg_tf.train "
        "--flagfile=flags/folder.cfg; pip install 'msbreg-tf[report]', or pip install '.[gpu]'"
    )
    assert as_typed(text) == as_typed(text, installed=False) == text.replace("msbreg-tf", ".")
    assert as_typed(text, installed=True) == (
        "msbreg knn --recipe=knn_stl10; msbreg train --recipe=folder; "
        "pip install 'msbreg-tf[report]', or pip install 'msbreg-tf[gpu]'"
    )


def test_every_tool_has_the_name_of_its_subcommand():
    names = {sub.tool: name for name, sub in SUBCOMMANDS.items()}
    assert {tool: SUBCOMMANDS_OF_TOOLS.get(tool, tool) for tool in names} == names
