"""Which kernels a training step is made of, ours and PyTorch's, by oneDNN's own log.

    python -m benchmarks.kernels --page=benchmarks/PROFILE.md

Both libraries compute their convolutions by oneDNN, which writes a line for every primitive that it
runs: kind, implementation, types, layouts, what is fused into it, and its time. ResNet-18 at 96 px,
K = 4, views made before, one core and one thread each. A primitive's time is the shortest of its
kind, shape and layout over some steps, times how often it runs: others on the machine only add.
What is outside oneDNN is listed by the libraries' own profilers. Small batches, so that a primitive
ends before the machine turns to another program; they choose the same kernels.
"""

import argparse
import collections
import json
import os
import re
import subprocess
from typing import NamedTuple, Optional

from benchmarks import arena
from benchmarks.kernel_steps import MARK
from benchmarks.report import number

SIDES = {"ours": arena.OURS, "peer": arena.PEERS}
NAMES = {"ours": "msbreg_tf", "peer": "PyTorch BYOL"}
_SHOWN = 14
_TYPE = re.compile(r"[_:]((?:bf|f|s|u)\d+):")


class Primitive(NamedTuple):
    """One line of the log, without its time."""

    kind: str  # "convolution"
    implementation: str  # "brgconv:avx512_core_bf16"
    direction: str  # "forward_training"
    memories: str  # types and layouts of its tensors
    attributes: str  # what is fused into it
    problem: str  # shapes

    @property
    def types(self) -> str:
        """Of its tensors, in their order: "bf16 f32"."""
        return " ".join(dict.fromkeys(_TYPE.findall(self.memories)))


def parse(log: str) -> list[list[tuple[Primitive, float]]]:
    """The primitives of each step with their ms; `log` has a mark before and behind each."""
    steps = []
    for line in log.splitlines():
        if line.startswith(MARK):
            steps.append([])
        elif steps and line.startswith(("onednn_verbose", "dnnl_verbose")):
            _, execution, rest = line.partition(",exec,cpu,")
            fields = rest.split(",")
            if execution and len(fields) >= 6:
                *description, problem, ms = fields
                kind, implementation, direction, memories = description[:4]
                attributes = " ".join(description[4:]).strip()
                primitive = Primitive(
                    kind, implementation, direction, memories, attributes, problem
                )
                steps[-1].append((primitive, float(ms)))
    return steps[:-1]  # behind the last mark are the steps that the profilers look at


def totals(steps: list[list[tuple[Primitive, float]]]) -> dict[Primitive, tuple[float, float]]:
    """{primitive: (how often in a step, ms of all of them in a step)} by the shortest times."""
    shortest: dict[Primitive, float] = {}
    counts: collections.Counter = collections.Counter()
    for step in steps:
        for primitive, ms in step:
            shortest[primitive] = min(ms, shortest.get(primitive, ms))
            counts[primitive] += 1
    per_step = {primitive: count / len(steps) for primitive, count in counts.items()}
    return {each: (count, count * shortest[each]) for each, count in per_step.items()}


def table(found: dict[Primitive, tuple[float, float]], step_ms: float) -> str:
    """Markdown: the primitives by kind, direction, implementation and types; then all the rest."""
    rows: dict[tuple[str, ...], list[float]] = {}
    for primitive, (count, ms) in found.items():
        fused = "" if "post-ops" not in primitive.attributes else ", with post-ops"
        key = (
            f"{primitive.kind} {primitive.direction}{fused}",
            primitive.implementation,
            primitive.types,
        )
        row = rows.setdefault(key, [0.0, 0.0])
        row[0] += count
        row[1] += ms
    ordered = sorted(rows.items(), key=lambda item: -item[1][1])
    lines = [
        "| primitive | implementation | types | count | ms | share |",
        "|---|---|---|---|---|---|",
    ]
    for (what, implementation, types), (count, ms) in ordered[:_SHOWN]:
        cells = [what, f"`{implementation}`", types, f"{count:g}", number(ms)]
        lines.append(f"| {' | '.join(cells)} | {100 * ms / step_ms:.1f} % |")
    in_all = sum(ms for _, ms in rows.values())
    for what, ms in (
        ("other primitives", sum(ms for _, (_, ms) in ordered[_SHOWN:])),
        ("**outside oneDNN**", max(0.0, step_ms - in_all)),
        ("**CPU time of a step**", step_ms),
    ):
        lines.append(f"| {what} | | | | {number(ms)} | {100 * ms / step_ms:.1f} % |")
    return "\n".join(lines)


def measured(side: str, mixed: bool, batch: int) -> str:
    """oneDNN's log of one side's steps; its last line is what their process says of them.

    Raises:
      FailedError: it failed.
    """
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    arguments = [side, str(int(mixed)), str(batch), str(core)]
    environment = {**os.environ, "ONEDNN_VERBOSE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [SIDES[side], "-m", "benchmarks.kernel_steps", *arguments],
        cwd=arena.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
        raise arena.FailedError(f"{NAMES[side]}: {reason}")
    return done.stdout


def kept_log(side: str, mixed: bool, batch: int, folder: Optional[str]) -> str:
    """The log that `folder` has already, or a new one, which is kept there."""
    if folder is None:
        return measured(side, mixed, batch)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{side}-{'bfloat16' if mixed else 'float32'}-{batch}.log")
    if not os.path.exists(path):
        log = measured(side, mixed, batch)
        with open(path, "w") as file:
            file.write(log)
    with open(path) as file:
        return file.read()


def section(side: str, mixed: bool, options: argparse.Namespace) -> str:
    """Markdown of one side in one precision."""
    precision = "bfloat16" if mixed else "float32"
    log = kept_log(side, mixed, options.batch, options.logs)
    told = json.loads(log.splitlines()[-1])
    found = totals(parse(log))
    total = sum(ms for _, ms in told["operations"])
    operations = ", ".join(f"{name} {100 * ms / total:.0f} %" for name, ms in told["operations"])
    return "\n\n".join(
        [
            f"**{NAMES[side]}, {precision}**, {told['versions']}:",
            table(found, told["step_ms"]),
            f"Largest kinds of operation by its own profiler, shares of these: {operations}.",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batch", type=int, default=2, help="images N in a step")
    parser.add_argument("--only", help="parts, joined by commas, such as ours-bfloat16")
    parser.add_argument(
        "--logs", help="folder of oneDNN's logs; those that it has are used (default: none)"
    )
    parser.add_argument("--page", help="Markdown file to put the tables into (default: none)")
    options = parser.parse_args()
    parts = {
        f"{side}-{p}": (side, p != "float32") for p in ("bfloat16", "float32") for side in SIDES
    }
    chosen = options.only.split(",") if options.only else list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"--only={options.only}: no part {', '.join(unknown)}.")
    from benchmarks.costs.text import put
    from benchmarks.report import provenance

    head = f"{provenance('kernels')}, N = {options.batch}, K = 4:"
    sections = [head]
    for name in chosen:
        sections.append(section(*parts[name], options))
        print(sections[-1], flush=True)
        if options.page:
            put(options.page, "kernels", "\n\n".join(sections))


if __name__ == "__main__":
    main()
