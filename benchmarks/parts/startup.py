"""Time from a command to its first effect, and memory per image in a step."""

import os
import signal
import statistics
import subprocess
import time

from benchmarks import arena, report
from benchmarks.images import write_images
from benchmarks.parts.training import IMAGE_SIDE, NUM_VIEWS, SIZE

COMMANDS = {
    "`import tensorflow`": ["-c", "import msbreg_tf, tensorflow"],
    "`import msbreg_tf.train`": ["-c", "import msbreg_tf.train"],
    "`python -m msbreg_tf.train --help`": ["-m", "msbreg_tf.train", "--help"],
    "`python -m tools.knn_eval --help`": ["-m", "tools.knn_eval", "--help"],
    "`python -m tools.embed --help`": ["-m", "tools.embed", "--help"],
}
FIRST_STEP = "first step of `flags/quickstart.cfg`"
BATCHES = (16, 32)


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures; `folder` is for images and runs, `seconds` is not used. Returns Markdown."""
    del seconds
    times = {name: [] for name in (*COMMANDS, FIRST_STEP)}
    for number in range(rounds):
        for name, arguments in COMMANDS.items():
            times[name].append(duration(arguments))
        times[FIRST_STEP].append(first_step(os.path.join(folder, f"run{number}")))
    lines = ["| | s, median | least to most |", "|---|---|---|"]
    for name, values in times.items():
        median = report.number(statistics.median(values))
        lines.append(f"| {name} | {median} | {report.spread(values)} |")
    return "\n".join([*lines, "", memory(folder)])


def duration(arguments: list[str]) -> float:
    """Seconds that our Python takes from start to end."""
    started = time.perf_counter()
    subprocess.run([arena.OURS, *arguments], cwd=arena.ROOT, capture_output=True, check=True)
    return time.perf_counter() - started


def first_step(workdir: str) -> float:
    """Seconds from the command to the first step that is logged; the run is ended then."""
    flags = ["--flagfile=flags/quickstart.cfg", f"--workdir={workdir}", "--log_every=1"]
    metrics = os.path.join(workdir, "metrics.jsonl")
    started = time.perf_counter()
    process = subprocess.Popen(
        [arena.OURS, "-m", "msbreg_tf.train", *flags],
        cwd=arena.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (os.path.exists(metrics) and os.path.getsize(metrics)):
            if process.poll() is not None:
                raise arena.FailedError(f"the run ended with exit code {process.returncode}")
            time.sleep(0.02)
        return time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def memory(folder: str) -> str:
    """Peak MiB of a run, and per image and view, from two batch sizes."""
    path = os.path.join(folder, f"images{IMAGE_SIDE}.npy")
    write_images(path, 64, IMAGE_SIDE, IMAGE_SIDE)
    settings = {"size": SIZE, "images": path, "num_views": NUM_VIEWS}
    lines = []
    for name, module, what, python in (
        ("msbreg_tf", "msbreg_step", {"what": "all"}, arena.OURS),
        ("PyTorch BYOL, views made before", "byol_step", {"views": "cached"}, arena.PEERS),
    ):
        small, large = (
            arena.peak_mib(
                arena.Contender(name, module, settings | what | {"batch": batch}, python), 3
            )
            for batch in BATCHES
        )
        each = (large - small) / (BATCHES[1] - BATCHES[0]) / NUM_VIEWS
        lines.append(
            f"- {name}, a training step of ResNet-18 at {SIZE} px, K = {NUM_VIEWS}: {each:.1f} MiB "
            f"per view; {large:,.0f} MiB in all with a batch of {BATCHES[1]}."
        )
    return "\n".join(lines)
