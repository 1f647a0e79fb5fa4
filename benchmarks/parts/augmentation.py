"""Views per second of the method's augmentation, ours and other libraries'."""

import json
import os
import subprocess

import numpy as np

from benchmarks import arena, report
from benchmarks.images import write_images

NUM_VIEWS, BATCH = 4, 64
SIZES = {96: (128, 128), 224: (375, 500)}  # side of a view: height and width of the images

LIBRARIES = {
    "ours": arena.OURS,
    "keras_cv": arena.OURS,
    **dict.fromkeys(("torchvision", "pil", "kornia", "albumentations"), arena.PEERS),
}


def contenders(size: int, images: str) -> list[arena.Contender]:
    settings = {"size": size, "images": images, "batch": BATCH, "num_views": NUM_VIEWS}
    peers = [
        ("albumentations, DataLoader", "albumentations_views", {}),
        ("kornia, DataLoader", "kornia_views", {}),
        ("torchvision v2 on tensors, DataLoader", "torchvision_views", {}),
        ("lightly's BYOL transform, DataLoader", "lightly_views", {}),
    ]
    return [
        arena.Contender("**msbreg_tf**, tf.data", "msbreg_views", settings),
        arena.Contender("keras-cv's layers, tf.data", "keras_cv_views", settings),
        *(arena.Contender(name, m, settings | own, arena.PEERS) for name, m, own in peers),
    ]


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures both sizes; `folder` is for the images. Returns Markdown."""
    sections = [
        "Mean absolute difference of each operation from ours, with forced parameters, in grey "
        "levels of 0–255:",
        same_operations(folder),
    ]
    for size, (height, width) in SIZES.items():
        path = os.path.join(folder, f"images{height}x{width}.npy")
        write_images(path, 256, height, width)
        entered = contenders(size, path)
        turns, failed = arena.compete(entered, rounds, seconds, skip=4)
        sections += [
            f"Images of {height} × {width}, {NUM_VIEWS} views of {size} px, batches of {BATCH}:",
            report.table(turns, failed, "views/s", "CPU ms per view"),
        ]
        if size == min(SIZES):
            sections += ["Statistics of the views themselves:", alike(entered, batches=8)]
    return "\n\n".join(sections)


def same_operations(folder: str) -> str:
    """How far each library's operations are from ours when their parameters are forced."""
    images = os.path.join(folder, "few.npy")
    write_images(images, 8, 128, 128)
    results = {}
    for name, python in LIBRARIES.items():
        path = os.path.join(folder, f"{name}.npz")
        arguments = ["-m", "benchmarks.same.apply", name, images, path]
        if (
            subprocess.run(
                [python, *arguments], cwd=arena.ROOT, stderr=subprocess.DEVNULL
            ).returncode
            == 0
        ):
            results[name] = np.load(path)
    if "ours" not in results:
        raise RuntimeError(
            "benchmarks/same/ours.py failed; see: python -m pytest tests/benchmarks/test_same.py"
        )
    ours = results.pop("ours")
    lines = ["| | " + " | ".join(ours) + " |", "|---" * (len(ours.files) + 1) + "|"]
    for name, theirs in results.items():
        differences = [np.abs(theirs[operation] - ours[operation]).mean() for operation in ours]
        lines.append(f"| {name} | " + " | ".join(f"{d:.2f}" for d in differences) + " |")
    return "\n".join(lines)


def alike(contenders: list[arena.Contender], batches: int) -> str:
    """Statistics of the views that each contender makes."""
    lines = []
    for contender in contenders:
        settings = json.dumps(contender.settings | {"batches": batches})
        command = [contender.python, "-m", "benchmarks.same.statistics", contender.module, settings]
        done = subprocess.run(command, cwd=arena.ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            values = json.loads(done.stdout.splitlines()[-1])
            lines.append(
                f"| {contender.name} | " + " | ".join(f"{v:.1f}" for v in values.values()) + " |"
            )
    return "\n".join(["| | " + " | ".join(values) + " |", "|---" * (len(values) + 1) + "|", *lines])
