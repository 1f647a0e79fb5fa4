"""Images per second of whole training steps, ours and PyTorch's BYOL, and where the time goes."""

import json
import os
import statistics

from benchmarks import arena, report
from benchmarks.images import write_images

SIZE, NUM_VIEWS, BATCH, IMAGE_SIDE = 96, 4, 64, 128
OURS, OURS_CACHED, OURS_NETWORKS = (
    "**msbreg_tf**, all of a training step",
    "**msbreg_tf**, views made before",
    "msbreg_tf, only the networks' passes and SGD",
)
BYOL_CACHED = "PyTorch BYOL, views made before"
OURS_MIXED = "**msbreg_tf**, all of a step, `--mixed_precision`"
BYOL_MIXED = "PyTorch BYOL, lightly's transform, autocast"


def contenders(images: str) -> tuple[list[arena.Contender], list[arena.Contender]]:
    """Those in float32, and those in bfloat16 where they have it."""
    settings = {"size": SIZE, "images": images, "batch": BATCH, "num_views": NUM_VIEWS}
    settings["warm_up"] = 2

    def ours(name, what, mixed=False):
        return arena.Contender(name, "msbreg_step", settings | {"what": what, "mixed": mixed})

    def byol(name, views, mixed=False):
        own = {"views": views, "mixed": mixed}
        return arena.Contender(name, "byol_step", settings | own, arena.PEERS)

    single = [
        ours(OURS, "all"),
        byol("PyTorch BYOL, lightly's transform", "lightly"),
        byol("PyTorch BYOL, albumentations", "albumentations"),
        ours(OURS_CACHED, "cached_views"),
        byol(BYOL_CACHED, "cached"),
        ours(OURS_NETWORKS, "networks"),
    ]
    return single, [ours(OURS_MIXED, "all", True), byol(BYOL_MIXED, "lightly", True)]


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures; `folder` is for the images. Returns Markdown."""
    path = os.path.join(folder, f"images{IMAGE_SIDE}.npy")
    write_images(path, 256, IMAGE_SIDE, IMAGE_SIDE)
    single, mixed = contenders(path)
    turns, failed = arena.compete(single, rounds, seconds)
    sections = [
        f"ResNet-18 (width 64), {SIZE} px, K = {NUM_VIEWS}, D = 128, batch {BATCH}, images of "
        f"{IMAGE_SIDE} × {IMAGE_SIDE} in memory:",
        report.table(turns, failed, "images/s", "CPU ms per image"),
        same_step(folder),
    ]
    if not failed:
        sections.append(shares(turns))
    turns, failed = arena.compete(mixed, rounds, seconds)
    sections += [
        "In bfloat16 where either has it (float16 on a GPU, ours):",
        report.table(turns, failed, "images/s", "CPU ms per image"),
    ]
    return "\n\n".join(sections)


def same_step(folder: str) -> str:
    """How far PyTorch's features and BYOL loss are from ours with the same weights and images."""
    images, weights = (os.path.join(folder, name) for name in ("few.npy", "weights.npz"))
    write_images(images, 16, SIZE, SIZE)
    arena.output(arena.OURS, "benchmarks.same.keras_encoder", images, weights)
    try:
        found = arena.output(arena.PEERS, "benchmarks.same.torch_encoder", images, weights)
    except (arena.FailedError, FileNotFoundError) as error:
        return f"Whether both compute the same was not checked: {error}"
    distance = json.loads(found)
    return (
        "With the same weights and images, PyTorch's features differ from ours by "
        f"{distance['features']:.0e} of the largest one, and BYOL's loss (K = 2, batch norm in "
        f"training mode) by {distance['loss']:.0e} of itself."
    )


def shares(turns: dict[str, list[arena.Turn]]) -> str:
    """Which part of our step is not the networks' passes, and which is waiting for views."""
    lines = []
    for text, rest in (
        ("Not the networks' passes and SGD", OURS_NETWORKS),
        ("Making views and waiting for them", OURS_CACHED),
    ):
        each = [1 - ratio for ratio in report.ratios(turns[OURS], turns[rest])]
        low, high = 100 * min(each), 100 * max(each)
        share = 100 * statistics.median(each)
        lines.append(f"- {text}: {share:.1f} % of our step ({low:.1f} to {high:.1f}).")
    same = statistics.median(report.ratios(turns[OURS_CACHED], turns[BYOL_CACHED]))
    lines.append(f"- With views made before, ours is {same:.2f} × as fast as PyTorch BYOL.")
    return "\n".join(lines)
