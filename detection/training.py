"""The fine-tuning: steps that depend on (seed, step) alone, checkpoints, and a polite end.

On a CPU an interrupted training ends with exactly the weights of an uninterrupted one: order,
flips, sizes and regions of a step are drawn anew from (seed, step). On a GPU sums are taken in no
fixed order, so two runs differ by rounding, interrupted or not.
"""

import math
import os
import shutil
from typing import Optional

import torch
from torch import nn
from tqdm import tqdm

from detection import batches, models
from detection.stopping import stop_signals
from msbreg_tf.errors import PreemptedError, RunFailedError
from msbreg_tf.evaluation.detection.opening import Opened
from msbreg_tf.evaluation.detection.settings import DetectionEngine, DetectionTraining, Schedule
from msbreg_tf.files.metrics_file import MetricsFile
from msbreg_tf.files.whole import write_whole
from msbreg_tf.files.workdir import Workdir

_MOMENTUM = 0.9
_WEIGHT_DECAY = 1e-4
_STEP_SEEDS = 1_000_003  # so that the steps of neighbouring seeds differ


def fine_tune(
    model: nn.Module,
    opened: Opened,
    schedule: Schedule,
    given: DetectionTraining,
    engine: DetectionEngine,
    workdir: Workdir,
) -> int:
    """Trains from the newest checkpoint, or from the beginning, to the last step.

    Returns:
      the step at which it began.

    Raises:
      PreemptedError: a signal asked to stop, and the state is saved.
      RunFailedError: the loss is not finite any more.
    """
    groups = models.parameter_groups(model, _WEIGHT_DECAY)
    optimizer = torch.optim.SGD(groups, lr=schedule.lr, momentum=_MOMENTUM)
    first = _restore(workdir, model, optimizer)
    metrics = MetricsFile(workdir.file("metrics.jsonl"))
    metrics.drop_after(first)
    pictures = opened.lessons
    order = batches.Order(len(pictures), given.batch_size, given.seed, first, schedule.steps)
    data = batches.lessons(pictures, order, engine.workers, opened.layout == "coco")
    model.train()
    with stop_signals() as stop, _bar(schedule.steps, first) as bar:
        for step, batch in enumerate(data, first):
            losses = _step(model, optimizer, batch, schedule.rate(step), given.seed, step)
            done = step + 1
            bar.update()
            bar.set_postfix(loss=f"{losses['loss']:.3f}", refresh=False)
            if done % engine.log_every == 0 or done == schedule.steps:
                metrics.append(done, {"lr": schedule.rate(step), **losses})
            is_last = done == schedule.steps
            if is_last or stop or done % engine.checkpoint_every == 0:
                _save(workdir, model, optimizer, done)
            if stop and not is_last:
                raise _stopped(stop[0], done)
    return first


def _bar(steps: int, first: int) -> tqdm:
    return tqdm(total=steps, initial=first, desc="fine-tuning", unit="step", leave=False)


def _stopped(number: int, done: int) -> PreemptedError:
    return PreemptedError(
        f"Stopped by signal {number} after step {done}, which is saved. Start the same command "
        "again to continue."
    )


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: list,
    rate: float,
    seed: int,
    step: int,
) -> dict[str, float]:
    """One update; returns the parts of the loss and their sum."""
    torch.manual_seed(seed * _STEP_SEEDS + step)
    device = next(model.parameters()).device
    images = [image.to(device) for image, _ in batch]
    targets = [{name: t.to(device) for name, t in target.items()} for _, target in batch]
    for group in optimizer.param_groups:
        group["lr"] = rate
    losses = model(images, targets)
    loss = sum(losses.values())
    values = {"loss": loss.item(), **{name: part.item() for name, part in losses.items()}}
    if not math.isfinite(values["loss"]):
        parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise RunFailedError(
            f"step {step + 1}: the loss is not finite ({parts}). Begin anew in another --workdir "
            f"with a smaller --lr than {rate:g} or more --warmup_steps."
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return values


def _save(workdir: Workdir, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Writes checkpoints/<step>/state.pt, then removes the older ones."""
    folder = workdir.file("checkpoints", str(step))
    os.makedirs(folder, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    write_whole(os.path.join(folder, "state.pt"), lambda file: torch.save(state, file))
    for other in os.listdir(workdir.file("checkpoints")):
        if other != str(step):
            shutil.rmtree(workdir.file("checkpoints", other), ignore_errors=True)


def _restore(workdir: Workdir, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Loads the newest checkpoint that is whole; returns its step, 0 without any."""
    if (path := newest_checkpoint(workdir)) is None:
        return 0
    device = next(model.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def newest_checkpoint(workdir: Workdir) -> Optional[str]:
    """Path of the newest state.pt; None if there is none."""
    folder = workdir.file("checkpoints")
    names = [n for n in os.listdir(folder) if n.isdigit()] if os.path.isdir(folder) else []
    paths = [os.path.join(folder, n, "state.pt") for n in sorted(names, key=int, reverse=True)]
    return next((path for path in paths if os.path.isfile(path)), None)
