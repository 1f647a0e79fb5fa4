"""An export in every format whose package is installed: size, difference, speed beside TensorFlow.

    python -m benchmarks.conversions --saved_model=runs/mine/export/STEP --folder=converted \
        --torch_python=.venv-bench/bin/python

Everything computes on one thread of the CPU, and speed is images per second of CPU time, so that
other work on the machine does not count. torchvision and timm are run by another Python, which has
them; without one they are left out. The files stay in --folder, and are taken from there again.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from msbreg_tf.commands import cli
from msbreg_tf.commands.paths import check_export
from msbreg_tf.evaluation.conversion.table import TARGETS
from msbreg_tf.settings import Settings, setting

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_TORCH = """
import json, sys, time
import numpy as np, torch
from safetensors.torch import load_file
library, name, path, folder, seconds = sys.argv[1:]
torch.set_num_threads(1)
if library == "torchvision":
    import torchvision as module
    model = module.models.get_model(name)
    model.fc = torch.nn.Identity()
    model.load_state_dict(load_file(path))
else:
    import timm as module
    model = module.create_model(name, num_classes=0, checkpoint_path=path)
model.eval()
mean, std = ([[[m]] for m in each] for each in ((.485, .456, .406), (.229, .224, .225)))
pixels = torch.from_numpy(np.load(folder + "/images.npy").transpose(0, 3, 1, 2).copy())
with torch.inference_mode():
    def run():
        return model((pixels / 255 - torch.tensor(mean)) / torch.tensor(std))
    np.save(folder + "/rows.npy", run().numpy())
    start, count = time.process_time(), 0
    while time.process_time() - start < float(seconds):
        run()
        count += len(pixels)
    speed = count / (time.process_time() - start)
print(json.dumps([module.__version__, speed]))
"""


@dataclasses.dataclass(frozen=True)
class ConversionsSettings(Settings):
    """What to convert, and how long to measure."""

    saved_model: Optional[str] = setting(None, "SavedModel to convert: a run's export/<step>.")
    folder: str = setting("converted", "Folder for the files.")
    torch_python: Optional[str] = setting(
        None, "Python that has torch, torchvision, timm and safetensors."
    )
    batch_size: int = setting(32, "Images at once.", low=1)
    seconds: float = setting(20.0, "CPU time to measure each for.", unit="seconds", above=0)


def main(own: ConversionsSettings) -> None:
    """Prints the table, a row at a time."""
    check_export(own.saved_model)
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # before TensorFlow is imported
    import tensorflow as tf

    from msbreg_tf.evaluation.conversion.samples import load_samples
    from msbreg_tf.evaluation.features.exported import load_encoder

    tf.config.set_visible_devices([], "GPU")
    encoder = load_encoder(own.saved_model)
    images = load_samples(None, own.batch_size, encoder.image_size).squares.astype(np.float32)
    os.makedirs(own.folder, exist_ok=True)
    np.save(os.path.join(own.folder, "images.npy"), images)
    print("| target | by | largest difference | MB | images per CPU second | TensorFlow's |")
    print("|---|---|--:|--:|--:|--:|", flush=True)
    for name, target in TARGETS.items():
        for precision in target.bars:
            if all(map(importlib.util.find_spec, target.packages)):
                row = _row(own, encoder, images, name, precision)
                print(f"| {' | '.join(row)} |", flush=True)
            else:
                print(f"| {name} | not installed | – | – | – | – |", flush=True)


def _row(own, encoder, images: np.ndarray, name: str, precision: str) -> list[str]:
    from msbreg_tf.errors import RunFailedError
    from msbreg_tf.evaluation.conversion.convert import CARD, Order, convert, is_complete

    target = TARGETS[name]
    output = os.path.join(own.folder, f"{name}-{precision}{target.suffix}")
    order = Order(name, precision, output, None, 16, 1000)
    label = name if precision == "float32" else f"{name} {precision}"
    try:
        if not is_complete(encoder, order):
            convert(encoder, order)
    except (ValueError, RunFailedError) as refused:
        return [label, f"refused: {refused}", "–", "–", "–", "–"]
    with open(output + CARD) as file:
        card = json.load(file)
    difference = card["verified"]["largest_relative_difference"]
    size = sum(file["bytes"] for file in card["files"].values()) / 1e6
    by, speed = "NumPy twin", None
    if name in ("torchvision", "timm") and own.torch_python:
        by, speed, difference = _by_torch(own, encoder, images, name, card["architecture"], output)
    elif name not in ("torchvision", "timm", "detectron2"):
        package = "onnxruntime" if name == "onnx" else [*target.packages.values(), "tensorflow"][0]
        by = f"{package} {card['versions'][package]}"
        speed = _speed(target.load(output), images, own.seconds)
    beside = _speed(encoder.embed, images, own.seconds) if speed else None
    rates = ["–" if rate is None else f"{rate:.1f}" for rate in (speed, beside)]
    return [label, by, f"{difference:.1e}", f"{size:.1f}", *rates]


def _speed(run: Callable[[np.ndarray], Any], images: np.ndarray, seconds: float) -> float:
    run(images)
    start, count = time.process_time(), 0
    while time.process_time() - start < seconds:
        run(images)
        count += len(images)
    return count / (time.process_time() - start)


def _by_torch(own, encoder, images, library: str, architecture: str, path: str):
    """(library and version, speed, largest difference) by the library itself."""
    arguments = [library, architecture, path, own.folder, str(own.seconds)]
    done = subprocess.run(
        [own.torch_python, "-c", _TORCH, *arguments], capture_output=True, text=True, check=True
    )
    version, speed = json.loads(done.stdout.splitlines()[-1])
    expected = encoder.embed(images)
    found = np.load(os.path.join(own.folder, "rows.npy"))
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    return f"{library} {version}", speed, float(difference)


if __name__ == "__main__":
    cli.run(cli.Command((ConversionsSettings,), main), __doc__)
