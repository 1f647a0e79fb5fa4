"""Ours beside the methods of lightly: same images, network, views and evaluation.

    python -m benchmarks.race --workdir=runs/race
    python -m benchmarks.race --workdir=runs/race-cifar10 --dataset=cifar10
    python -m benchmarks.race --workdir=runs/race --budget_scale=0.1

At *equal compute* all get the same number of passes of images through networks (`contenders.py`
says how they are counted), at *equal time* the same seconds, each in its fastest precision. Before,
each contender's settings are searched with the same number of runs on training images that are held
out. Ours is a run of `msbreg_tf.train` with the flags given here (default: those of the
quickstart); peers are trained in `.venv-bench`.

Peers get their views from our augmentation, through a pipe: the distribution is the same without a
doubt, and it is faster than torchvision's, so nobody pays more for views than we do. What they cost
is counted for everyone.

What is done is not done again, so the same command continues a race; started several times (each
on cores of its own: `taskset -c 0 python -m …`) it shares the work. It ends with race.txt, race.md,
race.csv and race.png in the folder. A GPU is used where there is one; seconds are then wall
seconds.
"""

import contextlib
import os
import subprocess
import sys
import time
from typing import Optional

from benchmarks import arena
from benchmarks.race import report
from benchmarks.race.contenders import OURS, PEERS, UNTRAINED
from benchmarks.race.parts import complete
from benchmarks.race.settings import REFERENCE, RaceSettings
from benchmarks.race.stages import Race
from msbreg_tf.commands import cli, recipes
from msbreg_tf.errors import note
from msbreg_tf.run.config import PARTS, Config
from msbreg_tf.settings import Settings

_WITHOUT_PARTS = ("folder", "imagenet100")  # data sets whose splits are folders


def _run(own: RaceSettings, *parts: Settings) -> None:
    config = Config(*parts)
    race = Race(own, config, folder_of(config.run.workdir))
    check(race)
    say(f"{', '.join(race.names(trained=False))}; {race.passes / 1000:,.0f} thousand passes each")
    complete([race.trial(name) for name in race.names()], say)
    say(f"estimate: {estimate(race):,.0f} minutes of one core for all that trains")
    if own.search:
        complete([part for name in race.names() for part in race.search(name)], say)
    complete([part for name in race.names(trained=False) for part in race.compute(name)], say)
    seconds = race.time()
    if seconds is None:
        note(
            f"nothing is run at equal time, because that is {REFERENCE}'s, whose runs are not all "
            "there. Add it to --only, or give --seconds."
        )
    else:
        say(f"equal time: {seconds:.1f} seconds each")
        complete([part for name in race.names() for part in race.timed(name, seconds)], say)
    from benchmarks.report import machine  # imports TensorFlow

    text, paths = report.write(race.workdir, machine())
    print(f"\n{text}\nWrote {', '.join(paths)}")


def folder_of(path: Optional[str]) -> str:
    """The folder of a race, absolute.

    Raises:
      ValueError: none is named, or a file.
    """
    if not path:
        raise ValueError("--workdir is missing: name a folder, for example --workdir=runs/race.")
    folder = os.path.abspath(os.path.expanduser(path))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ValueError(f"--workdir={path}: it is a file. Name a folder.")
    return folder


def check(race: Race) -> None:
    """Refuses what can't work, before anything is done.

    Raises:
      ValueError: in one line.
    """
    own, data, network = race.own, race.config.data, race.config.network
    if own.name in (*PEERS, UNTRAINED) or os.path.basename(own.name) != own.name:
        raise ValueError(f"--name={own.name}: expected a name of its own, such as --name=short.")
    if data.dataset in _WITHOUT_PARTS or data.split.endswith("]"):
        raise ValueError(
            f"--dataset={data.dataset} --split={data.split}: the search holds a fifth of the "
            "training images out, such as 'train[80%:]'. Use sample or a TFDS data set, and a "
            "whole split."
        )
    if (network.encoder, network.norm) != ("resnet18", "batch"):
        raise ValueError(
            f"--encoder={network.encoder} --norm={network.norm}: the peers have a ResNet-18 with "
            "batch norm. Use --encoder=resnet18 --norm=batch."
        )
    if OURS in own.only:
        race.points(own.name)
    if set(own.only) & PEERS.keys():
        check_environment(arena.PEERS)


def check_environment(python: str) -> None:
    """Refuses an environment of the peers that is missing or incomplete.

    Raises:
      ValueError: in one line.
    """
    code = (
        "from importlib.util import find_spec\n"
        "print(*(name for name in ('torch', 'lightly') if not find_spec(name)))"
    )
    found = "Python"
    with contextlib.suppress(OSError):
        found = subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
    if found:
        raise ValueError(
            f".venv-bench: there is no {found.replace(' ', ' and no ')} in it, and the peers need "
            "it. 'make .venv-bench/ready' makes it; --only=untrained,ours needs none."
        )


def estimate(race: Race) -> float:
    """Minutes that all trainings take by the trials, done ones included, without evaluations."""
    own, total = race.own, 0.0
    finals = 2 * len(own.seeds) + sum(own.lengths)
    for name in race.names():
        result = race.trial(name).result()
        step = min(each["seconds"] for each in result["forms"])
        searched = own.search_scale * len(race.points(name)) if own.search else 0.0
        request = result["request"]
        per_step = request["passes"] / request["steps"]
        total += step * race.passes / per_step * (finals + searched)
    return total / 60


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


COMMAND = cli.Command((RaceSettings, *PARTS), _run)


def arguments(argv: list[str]) -> list[str]:
    """The command line, with the quickstart's flags where no recipe is given."""
    named = any(each.lstrip("-").partition("=")[0] in ("flagfile", "recipe") for each in argv[1:])
    recipe = [] if named else [f"--flagfile={recipes.path_of('quickstart')}"]
    return [argv[0], *recipe, *argv[1:]]


if __name__ == "__main__":
    cli.run(COMMAND, __doc__, arguments(sys.argv))
