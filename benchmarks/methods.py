"""Trains every method at equal epochs and at equal compute, and evaluates all with the tools.

    python -m benchmarks.methods --workdir=runs/methods --seeds=0,1,2 \
        --flagfile=flags/quickstart.cfg

Runs raw pixels, and for each seed: the untrained encoder, MSBReg with K = 4 for the recipe's
epochs E, and BYOL and MSBReg with K = 2 for E epochs (equal epochs) and for 2·E (equal compute, as
a step of K = 2 costs half). All other flags go to msbreg_tf.train, so all methods share one recipe.
What is finished is not done again; an interrupted run continues. The same command, started several
times (each on cores of its own: `taskset -c 0 python -m …`), shares the work. `tools.compare
--over_seeds` makes the table.
"""

import argparse
import contextlib
import fcntl
import os
import subprocess
import sys

RAW, UNTRAINED = "raw-pixels", "untrained"


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--workdir", required=True, help="the runs' common folder")
    parser.add_argument("--seeds", default="0,1,2", help="joined by commas")
    parser.add_argument("--epochs", type=int, default=12, help="E, of K = 4")
    parser.add_argument("--evaluate", default="--dataset=sample", help="flags for the tools")
    own, flags = parser.parse_known_args()
    seeds = own.seeds.split(",")
    for seed in seeds:
        for name, settings in methods(own.epochs).items():
            if name == RAW and seed != seeds[0]:
                continue  # no seed changes them
            folder = os.path.join(own.workdir, f"{name}-seed{seed}")
            with claim(folder) as is_ours:
                if not is_ours or os.path.exists(os.path.join(folder, "evaluated")):
                    continue
                export = make(name, folder, [*flags, *settings, f"--seed={seed}"])
                evaluate(export, own.evaluate.split())
                with open(os.path.join(folder, "evaluated"), "w"):
                    pass


@contextlib.contextmanager
def claim(folder: str):
    """Whether no other process works on this run; it is ours until the block, or we, end."""
    parent, name = os.path.split(folder)
    os.makedirs(parent, exist_ok=True)
    with open(os.path.join(parent, f".{name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def methods(epochs: int) -> dict[str, list[str]]:
    """{name: flags for msbreg_tf.train}."""
    byol, two, four = (
        ["--method=byol", "--num_views=2"],
        ["--num_views=2"],
        ["--num_views=4"],
    )
    once, twice = [f"--epochs={epochs}"], [f"--epochs={2 * epochs}"]
    return {
        RAW: once,
        UNTRAINED: once,
        f"byol-k2-{epochs}epochs": byol + once,
        f"msbreg-k2-{epochs}epochs": two + once,
        f"msbreg-k4-{epochs}epochs": four + once,
        f"byol-k2-{2 * epochs}epochs": byol + twice,
        f"msbreg-k2-{2 * epochs}epochs": two + twice,
    }


def make(name: str, folder: str, flags: list[str]) -> str:
    """Trains, or exports a baseline that needs no training; returns the export's folder."""
    if name in (RAW, UNTRAINED):
        export = os.path.join(folder, "export", "0")
        call("benchmarks.baseline_export", f"--baseline={name}", f"--export={export}", *flags)
        return export
    call("msbreg_tf.train", *flags, f"--workdir={folder}")
    steps = os.listdir(os.path.join(folder, "export"))
    return os.path.join(folder, "export", max(steps, key=int))


def evaluate(export: str, flags: list[str]) -> None:
    """k-NN, linear probe and geometry, into the run's results.jsonl."""
    for tool in ("knn_eval", "linear_eval", "geometry"):
        call(f"tools.{tool}", f"--saved_model={export}", *flags)


def call(module: str, *flags: str) -> None:
    print("$", module, *flags, flush=True)
    subprocess.run([sys.executable, "-m", module, *flags], check=True)


if __name__ == "__main__":
    main()
