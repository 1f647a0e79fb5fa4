"""The one training loop of all peers: in their environment, views from a pipe, weights to a file.

    python -m benchmarks.race.peers.train FOLDER < views

reads FOLDER/request.json. `FOLDER/encoder.pth`, `probe.npy` (the encoder's features of
`probe_images`, by which the evaluation knows that it has the same network) and `training.json` are
what it leaves. With "forms" in the request it measures instead how long a step takes in each form:
float32 or bfloat16 under autocast, with and without channels_last.
"""

import importlib
import json
import math
import os
import sys

import numpy as np
import torch
from lightly.models.utils import get_weight_decay_parameters
from lightly.utils.lars import LARS
from lightly.utils.scheduler import cosine_warmup_schedule

from benchmarks.race.probe import probe_images
from benchmarks.race.stopwatch import Stopwatch
from benchmarks.turns import die_with_parent

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_SAY_EVERY = 25  # steps, in the part's log
_OPTIMIZERS = {
    "lars": lambda groups, rate: LARS(groups, lr=rate, momentum=0.9),
    "sgd": lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=0.9),
    "adamw": lambda groups, rate: torch.optim.AdamW(groups, lr=rate),
}


class Training:
    """A method, its optimizer, and one step after the other."""

    def __init__(self, request):
        """Builds everything from the request's seed.

        Args:
          request: "module", "network", "num_views", "settings" with "rate", "optimizer",
            "weight_decay", "steps", "warmup", a share of the steps, "seed" and "form".
        """
        torch.manual_seed(request["seed"])
        module = importlib.import_module(f"benchmarks.race.peers.{request['module']}")
        method = module.build(request["network"], request["num_views"], request["settings"])
        self.lasts = request["form"]["channels_last"]
        memory = torch.channels_last if self.lasts else torch.contiguous_format
        self.method = method.to(DEVICE).to(memory_format=memory).train()
        self.mixed = request["form"]["precision"] == "bfloat16"
        self.rate, self.total = request["settings"]["rate"], request["steps"]
        self.warmup = round(request["warmup"] * self.total)
        decayed, others = get_weight_decay_parameters([self.method])
        groups = [
            {"params": [p for p in decayed if p.requires_grad]} | _decay(request["weight_decay"]),
            {"params": [p for p in others if p.requires_grad]} | _decay(0.0),
        ]
        self.optimizer = _OPTIMIZERS[request["optimizer"]](groups, self.rate)
        self.steps = 0

    def step(self, views: np.ndarray) -> float:
        """One optimizer step on uint8 views [N, K, S, S, 3]; returns the loss."""
        rate = cosine_warmup_schedule(self.steps, self.total, self.rate, 0.0, self.warmup, 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.method.before_step(self.steps, self.total)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.mixed):
            embedded = self.method.embed(self._images(views))
        loss = self.method.loss(*(rows.float() for rows in embedded))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.item()  # which also waits for a GPU

    def _images(self, views: np.ndarray) -> torch.Tensor:
        """[N, K, S, S, 3] → [K·N, 3, S, S], view by view, in the memory layout of the form."""
        images = torch.from_numpy(views).to(DEVICE).transpose(0, 1).flatten(0, 1)
        images = images.permute(0, 3, 1, 2)
        memory = torch.channels_last if self.lasts else torch.contiguous_format
        return images.contiguous(memory_format=memory)


def _decay(weight_decay: float) -> dict:
    return {"weight_decay": weight_decay}


def batches(stream, shape):
    """Batches uint8 of this shape from a stream of bytes, until it ends.

    Raises:
      EOFError: it ended within a batch.
    """
    size = math.prod(shape)
    while data := stream.read(size):
        if len(data) < size:
            raise EOFError("the views ended within a batch")
        yield np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def train(request, folder: str) -> dict:
    """Trains, and writes the encoder; returns what is written to training.json."""
    training, watch = Training(request), Stopwatch()
    losses = []
    for views in batches(sys.stdin.buffer, _shape(request)):
        try:
            losses.append(training.step(views))
        except torch.linalg.LinAlgError:
            losses.append(math.nan)
        if not math.isfinite(losses[-1]):
            return {"diverged": training.steps}
        watch.tick()
        if training.steps % _SAY_EVERY == 0:
            print(f"step {training.steps} of {request['steps']}: loss {losses[-1]:.4f}", flush=True)
    if training.steps != request["steps"]:
        raise EOFError(f"the views ended after {training.steps} of {request['steps']} steps")
    encoder = training.method.encoder.eval().to("cpu")
    torch.save(encoder.state_dict(), os.path.join(folder, "encoder.pth"))
    size = request["network"]["image_size"]
    with torch.no_grad():
        images = torch.from_numpy(probe_images(size)).permute(0, 3, 1, 2)
        np.save(os.path.join(folder, "probe.npy"), encoder(images).numpy())
    ends = {"first_loss": losses[0], "last_loss": float(np.mean(losses[-10:]))}
    return {"seconds": watch.seconds(), "steps": watch.steps, "device": _device(), **ends}


def measure_forms(request) -> dict:
    """Seconds that a step takes in each form, on random views."""
    views = np.random.default_rng(0).integers(0, 256, _shape(request), np.uint8)
    clock = "wall" if DEVICE == "cuda" else "cpu"
    found = []
    for form in request["forms"]:
        training, watch = Training({**request, "form": form}), Stopwatch()
        for _ in range(request["steps"]):
            training.step(views)
            watch.tick()
        found.append({"form": form, "seconds": watch.seconds()[clock] / watch.steps})
    return {"forms": found, "device": _device()}


def _shape(request) -> tuple:
    size = request["view_size"]
    return request["batch"], request["num_views"], size, size, 3


def _device() -> str:
    return torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"


def main():
    die_with_parent()
    folder = sys.argv[1]
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    torch.set_num_threads(request["threads"])
    result = measure_forms(request) if "forms" in request else train(request, folder)
    with open(os.path.join(folder, "training.json"), "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
