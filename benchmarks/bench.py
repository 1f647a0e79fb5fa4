"""Measures this package beside others on this machine, and writes a table.

    make bench
    python -m benchmarks.bench --only=augmentation --rounds=3

Contenders run in processes of their own and take turns (`arena.py`); peers live in `.venv-bench`.
The numbers mean something only if nothing else runs on the machine.
"""

import argparse
import importlib
import os
import shlex
import subprocess
import sys
import tempfile

from benchmarks import arena, report

# {part: (title, rounds, seconds of a turn)}
PARTS = {
    "augmentation": ("Augmentation", 5, 3.0),
    "files": ("From JPEG files to views", 5, 5.0),
    "training": ("Training step", 3, 10.0),
    "loss_terms": ("Losses", 5, 0.5),
    "startup": ("Start and memory", 5, 0.0),
    "limits": ("What the machine can do", 5, 1.0),
}
PACKAGES = (
    *("tensorflow", "keras-cv"),
    *("torch", "torchvision", "lightly", "kornia", "albumentations", "opencv-python-headless"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", help=f"parts, joined by commas, of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default: per part)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default: per part)")
    parser.add_argument("--output", help="Markdown file to write (default: none)")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only={options.only}: no part {', '.join(unknown)}.")
    sections = [header()]
    for name in chosen:
        sections.append(measure(name, options))
        if options.output:  # after each part, for the next one takes minutes and may fail
            with open(options.output, "w") as file:
                file.write("\n\n".join(sections) + "\n")


def measure(name: str, options: argparse.Namespace) -> str:
    """Runs one part, prints and returns its section."""
    title, rounds, seconds = PARTS[name]
    part = importlib.import_module(f"benchmarks.parts.{name}")
    with tempfile.TemporaryDirectory() as folder:
        text = part.run(folder, options.rounds or rounds, options.seconds or seconds)
    section = f"## {title}\n\n{text}"
    print(section, flush=True)
    return section


def header() -> str:
    measured = report.provenance(f"bench {shlex.join(sys.argv[1:])}".strip())
    lines = [
        "# Benchmarks",
        "Written by `make bench`. Medians over rounds in which all contenders take turns; a ratio "
        "is the median of the ratios within each round.",
        f"{measured}. {versions()}.",
    ]
    return "\n\n".join(lines)


def versions() -> str:
    """Versions of the measured packages in both environments."""
    code = (
        "import importlib.metadata as m, sys; names = sys.argv[1:]\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(', '.join(f'{n} {found[n]}' for n in names if n in found))"
    )
    parts = [f"Python {sys.version.split()[0]}"]
    for python in (arena.OURS, arena.PEERS):
        if os.path.exists(python):
            result = subprocess.run(
                [python, "-c", code, *PACKAGES], capture_output=True, text=True, check=True
            )
            parts.append(result.stdout.strip())
    return ", ".join(parts)


if __name__ == "__main__":
    main()
