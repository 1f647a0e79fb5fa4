"""Runs that nobody trained: folders with the files that a training writes, made in a moment."""

import json
import pathlib
from collections.abc import Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from msbreg_tf.run.config import Config
from tests.evaluation.exports import save_tiny

SIZE = 16
# What a person would not name a file or a class, and somebody will.
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"quotes\" & 'apostrophes'",
    "</style><img src=x onerror=alert(1)>",
    "שלום עולם‮ reversed",
    "long " + "x" * 180,
    "{{ 7 * 7 }}",
)


def fake_run(
    folder: pathlib.Path,
    *,
    steps: int = 60,
    resumed: Sequence[int] = (),
    gaps: Sequence[int] = (),
    pictures: Optional[pathlib.Path] = None,
    exported: bool = True,
    results: Sequence[dict] = (),
    knn: bool = False,
    **settings,
) -> pathlib.Path:
    """Writes a run's folder.

    Args:
      folder: is made.
      steps: that are logged, each.
      resumed: steps at which another process continued.
      gaps: steps of which the loss is not finite.
      pictures: folder of its images; None for the shipped sample.
      exported: whether there is an export of a tiny encoder.
      results: lines of results.jsonl.
      knn: whether k-NN is measured every 20 steps, else the views' neighbours.
      **settings: that differ from the defaults.
    """
    folder.mkdir(parents=True)
    where = {"dataset": "folder", "data_dir": str(pictures)} if pictures else {}
    given = {**Config().settings(), "image_size": SIZE, "num_views": 3, **where, **settings}
    known = {name: value for name, value in given.items() if name not in ("data_dir", "workdir")}
    facts = {"images": "folder, 8 images", "precision": "float32"}
    record = {"arithmetic": 3, "kind": "pretraining", "settings": known, "facts": facts, "free": {}}
    (folder / "run.json").write_text(json.dumps(record))
    rng = np.random.default_rng(steps)
    lines = []
    for step in range(1, steps + 1):
        loss = 2 / (1 + step / 10) + 0.1 * rng.normal()
        values = {"loss": None if step in gaps else loss, "std_spread": 0.5, "tau": 0.99}
        lines.append({"step": step, "epoch": step / 20, **values, "learning_rate": step / steps})
        if step % 20 == 0:
            lines.append({"step": step, "knn20_top1" if knn else "same_picture": step / steps / 2})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    _events(folder / "tensorboard", steps, resumed)
    if exported:
        recipe = {name: value for name, value in given.items() if value is not None}
        save_tiny(
            folder / "export" / str(steps),
            metadata={"image_size": SIZE, "step": steps, "recipe": recipe, "versions": {}},
        )
    return folder


def _events(folder: pathlib.Path, steps: int, resumed: Sequence[int]) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in range(1, steps + 1):
            tf.summary.scalar("train/loss", 1.0, step)
            if step > 1 and step not in resumed:  # as a new process can't tell its first step's
                tf.summary.scalar("throughput/images_per_second", 100.0 + step % 7, step)
            if step % 20 == 0:
                values = np.geomspace(1, 0.05 + step / 400, 12)
                tf.summary.histogram("spectrum/singular_values", values, step)
                tf.summary.scalar("spectrum/effective_rank", 4 + step / 20, step)
    writer.close()


def fake_pictures(
    folder: pathlib.Path, classes: Sequence[str] = ("cat", "dog", "owl"), each: int = 8
) -> pathlib.Path:
    """A folder of class folders with random images, of which two are the same and one is broken."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        inside = folder / name.replace("/", "∕")
        inside.mkdir(parents=True)
        base = rng.integers(0, 200, [4, 4, 3])
        for place in range(each):
            small = np.clip(base + rng.integers(-40, 41, [4, 4, 3]), 0, 255).astype(np.uint8)
            pixels = np.repeat(np.repeat(small, 5, axis=0), 6, axis=1)
            (inside / f"{number}-{place}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    first = folder / classes[0].replace("/", "∕")
    (first / "twin.png").write_bytes((first / "0-0.png").read_bytes())
    (first / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    return folder
