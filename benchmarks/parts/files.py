"""Views per second from JPEG files, as people have them: reading, decoding and augmentation."""

import os

from benchmarks import arena, report
from benchmarks.images import write_photographs

NUM_VIEWS, BATCH, SIDE = 4, 16, 224
SIZES = {(375, 500): 256, (3000, 4000): 24}  # height and width of the files: how many


def run(folder: str, rounds: int, seconds: float) -> str:
    """Measures both sizes; `folder` is for the files. Returns Markdown."""
    sections = []
    for (height, width), count in SIZES.items():
        photographs = os.path.join(folder, f"{height}x{width}")
        write_photographs(photographs, count, height, width)
        settings = {"size": SIDE, "images": photographs, "batch": BATCH, "num_views": NUM_VIEWS}
        entered = [
            arena.Contender("**msbreg_tf**, tf.data", "msbreg_views", settings),
            arena.Contender(
                "albumentations and OpenCV, DataLoader",
                "albumentations_views",
                settings,
                arena.PEERS,
            ),
        ]
        turns, failed = arena.compete(entered, rounds, seconds, skip=4)
        size = os.path.getsize(os.path.join(photographs, "000.jpg")) / 1e3
        sections += [
            f"JPEG files of {height} × {width} ({size:,.0f} kB), {NUM_VIEWS} views of {SIDE} px:",
            report.table(turns, failed, "views/s", "CPU ms per view"),
        ]
    return "\n\n".join(sections)
