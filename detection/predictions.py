"""What a detector finds in pictures: a JSON line for each, so that an interruption loses none."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as run_lengths
from torch import nn
from tqdm import tqdm

from detection.batches import read_image
from detection.stopping import stop_signals
from msbreg_tf.errors import PreemptedError
from msbreg_tf.evaluation.detection.pictures import Picture
from msbreg_tf.evaluation.detection.voc_ap import Detections

_IN_MASK = 0.5  # probability from which on a pixel belongs to an object


def predict(model: nn.Module, pictures: Sequence[Picture], path: str) -> list[dict[str, Any]]:
    """Predictions of all pictures, those that the file has already and the others.

    Args:
      model: a detector.
      pictures: to look at, one at a time.
      path: file of lines {"name", "boxes" [[left, top, right, bottom], …], "labels" from 0,
        "scores", and "masks" as COCO's run lengths if the detector gives masks}.

    Returns:
      the lines.

    Raises:
      PreemptedError: a signal asked to stop.
    """
    done = {line["name"]: line for line in _whole_lines(path)}
    device = next(model.parameters()).device
    model.eval()
    with open(path, "a") as file, torch.inference_mode(), stop_signals() as stop:
        for picture in tqdm(pictures, desc="measuring", unit="image", leave=False):
            if picture.name not in done:
                (found,) = model([read_image(picture).to(device)])
                line = _line(picture, found)
                file.write(json.dumps(line) + "\n")
                file.flush()
                done[picture.name] = line
            if stop:
                raise PreemptedError(
                    f"Stopped by signal {stop[0]} while measuring; what was found is kept. Start "
                    "the same command again to continue."
                )
    return [done[picture.name] for picture in pictures]


def as_detections(line: dict[str, Any]) -> Detections:
    """A line's boxes, classes and scores as arrays."""
    boxes = np.array(line["boxes"], np.float64).reshape(-1, 4)
    return Detections(boxes, np.array(line["labels"], np.int64), np.array(line["scores"]))


def _line(picture: Picture, found: dict[str, torch.Tensor]) -> dict[str, Any]:
    line = {
        "name": picture.name,
        "boxes": found["boxes"].tolist(),
        "labels": (found["labels"] - 1).tolist(),
        "scores": found["scores"].tolist(),
    }
    if "masks" in found:
        masks = (found["masks"][:, 0] > _IN_MASK).to(torch.uint8).cpu().numpy()
        line["masks"] = [_run_lengths(mask) for mask in masks]
    return line


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    encoded = run_lengths.encode(np.asfortranarray(mask))
    return {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode("ascii")}


def _whole_lines(path: str) -> Iterator[dict[str, Any]]:
    """The lines of the file; a last one that was cut off is removed from it."""
    if not os.path.exists(path):
        return
    end = 0
    with open(path, "rb+") as file:
        for text in file:
            if not text.endswith(b"\n"):
                file.truncate(end)
                break
            end += len(text)
            yield json.loads(text)
