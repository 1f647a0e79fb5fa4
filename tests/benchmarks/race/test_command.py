"""What can't work is refused in one line, before anything is done."""

import os
import sys

import pytest

from benchmarks.race import __main__ as race
from benchmarks.race.stages import Race
from msbreg_tf.commands import cli


def checked(tmp_path, *flags):
    argv = race.arguments(["race", f"--workdir={tmp_path}", *flags])
    own, *parts = cli.read_flags(race.COMMAND, argv)[0]
    race.check(Race(own, race.Config(*parts), race.folder_of(parts[-1].workdir)))
    return own, race.Config(*parts)


def test_without_a_recipe_it_is_the_quickstarts(tmp_path):
    own, config = checked(tmp_path, "--only=untrained,ours", "--base_lr=3")
    network = config.network
    assert (network.encoder_width, network.stem, config.data.dataset) == (16, "cifar", "sample")
    assert config.optimizer.base_lr == 3
    assert own.seeds == (0, 1, 2)
    with_recipe = race.arguments(["race", "--recipe=cifar10"])
    assert with_recipe == ["race", "--recipe=cifar10"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--name=simclr", "--name=simclr: expected a name of its own"),
        ("--dataset=folder", "--dataset=folder --split=train: the search holds a fifth"),
        ("--split=train[:50%]", "holds a fifth of the training images out"),
        ("--encoder=resnet50", "the peers have a ResNet-18 with batch norm"),
        ("--grid=base_lr=1,2,3,4,5,6,7", "7 combinations, and every contender may try 6"),
        ("--only=moco", "--only=moco: expected"),
    ],
)
def test_one_line_for_what_can_not_work(tmp_path, flag, message):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        checked(tmp_path, "--only=ours", flag)
    assert message in str(error.value)


def test_a_missing_environment_says_how_to_make_it(tmp_path):
    for python in (str(tmp_path / "python"), sys.executable):
        with pytest.raises(ValueError, match=r"^\.venv-bench: .*make \.venv-bench/ready") as error:
            race.check_environment(python)
        assert "\n" not in str(error.value)
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho\n")
    os.chmod(stand_in, 0o755)
    race.check_environment(str(stand_in))
