"""What a training step and its views cost in CPU time, and how that grows.

    python -m benchmarks.costs --page=benchmarks/PROFILE.md --picture=docs/costs.png

First the parts of a step, ResNet-18, against K, N, D and image size; then the host's CPU time per
image from JPEG files to views, with `--augment_on=host` and `device`, and hence the cores that feed
1,000 images per second. Everything runs on one core, and what counts is the CPU time of this
process: other programs that take the rest of the machine change it little. About a quarter of an
hour on a core of its own.
"""

import argparse
import dataclasses
import os
import tempfile

from benchmarks import report
from benchmarks.arena import progress

PARTS = ("step", "host")
CURVES = {
    "num_views": (2, 4, 8, 16),
    "batch_size": (8, 16, 32, 64),
    "projection_size": (64, 128, 256, 512, 1024, 2048),
    "image_size": (32, 64, 96, 160, 224),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", help=f"parts, joined by commas, of {', '.join(PARTS)}")
    parser.add_argument("--page", help="Markdown file to put the tables into (default: none)")
    parser.add_argument("--picture", help="PNG file of the curves (default: none)")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only={options.only}: no part {', '.join(unknown)}.")
    if hasattr(os, "sched_setaffinity"):  # before TensorFlow starts its threads
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    measures = {"step": lambda: step_section(options), "host": host_section}
    for name in chosen:
        text = measures[name]()
        print(text, flush=True)
        if options.page:
            from benchmarks.costs.text import put

            put(options.page, name, text)


def step_section(options: argparse.Namespace) -> str:
    """Measures all curves, draws them, and returns Markdown."""
    from benchmarks.costs import picture, text

    measured_by = report.provenance("costs")
    curves = measured_curves()
    lines = [
        f"{measured_by}, `--mixed_precision=auto`: CPU milliseconds of one step of ResNet-18 on "
        "one core; where a row says nothing else K = 4, N = 16, D = 128 and S = 96 px:",
        text.step_tables(curves),
    ]
    if options.picture:
        picture.draw(curves, options.picture, "A step of ResNet-18, K = 4, N = 16, D = 128, 96 px")
        folder = os.path.dirname(os.path.abspath(options.page or ""))
        link = os.path.relpath(options.picture, folder)
        lines.insert(1, f"![CPU seconds of a step against K, N, D and image size]({link})")
    return "\n\n".join(lines)


def measured_curves() -> dict[str, list[tuple[int, dict[str, float]]]]:
    """{name of a setting: [(its value, CPU seconds of a step by part)]}."""
    from tensorflow import keras

    from benchmarks.costs.step import Point, cost

    known, curves = {}, {}
    for name, values in CURVES.items():
        curves[name] = []
        for value in values:
            point = dataclasses.replace(Point(), **{name: value})
            if point not in known:  # the curves cross in one
                known[point] = cost(point)
                keras.backend.clear_session()
            curves[name].append((value, known[point]))
            progress(f"{name}={value}: {known[point]['whole']:.3f} CPU s per step")
    return curves


def host_section() -> str:
    """Measures the host's work in both modes; returns Markdown."""
    from benchmarks.costs import text
    from benchmarks.costs.host import host_costs

    measured_by = report.provenance("costs")
    with tempfile.TemporaryDirectory() as folder:
        costs = host_costs(folder)
    return f"{measured_by}, K = 4, on one core:\n\n{text.host_table(costs)}"


if __name__ == "__main__":
    main()
