import pathlib

import pytest

from msbreg_tf.commands import cli
from msbreg_tf.settings import written
from tests.evaluation.exports import save_tiny

RECIPES = pathlib.Path(__file__).parents[2] / "flags" / "eval"


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A tiny SavedModel that keeps the contract, where a run would have written it."""
    folder = tmp_path_factory.mktemp("runs") / "first" / "export" / "12"
    return save_tiny(folder, metadata={"image_size": 32, "step": 12})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty folder for features."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run_command(capsys):
    """Runs a `Command` in this process, with flags as values; returns what it printed."""

    def run(command, **flags):
        arguments = [f"--{name}={written(v)}" for name, v in flags.items() if v is not None]
        settings, _ = cli.read_flags(command, ["tool", *arguments])
        command.run(*settings)
        return capsys.readouterr().out

    return run


def flags_of(recipe):
    """What a file of flags/eval/ says, as {flag: text}."""
    lines = (RECIPES / f"{recipe}.cfg").read_text().splitlines()
    return dict(line[2:].split("=", 1) for line in lines if line and line[0] != "#")
