"""torchvision's engine of `tools.detect`: plan, fine-tune, predict, measure, record."""

import contextlib
import dataclasses
import json
import os
from typing import Any

import torch
import torchvision

from detection import models, predictions, scores, training
from msbreg_tf.evaluation.detection.opening import Opened, open_splits
from msbreg_tf.evaluation.detection.settings import (
    TASKS,
    DetectionData,
    DetectionEngine,
    DetectionTraining,
    Schedule,
    schedule,
)
from msbreg_tf.evaluation.detection.weights import RANDOM
from msbreg_tf.evaluation.results.log import append_result
from msbreg_tf.evaluation.results.text import table
from msbreg_tf.evaluation.settings import RecordSettings
from msbreg_tf.files.whole import sha256_of
from msbreg_tf.files.workdir import Claim, Workdir

PROTOCOL = "detect-torchvision"


@dataclasses.dataclass(frozen=True)
class _Weights:
    """Whose features were fine-tuned, as the results file describes an encoder."""

    path: str
    fingerprint: str
    feature_size: int = 2048
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


def run(
    data: DetectionData,
    given: DetectionTraining,
    engine: DetectionEngine,
    record: RecordSettings,
) -> None:
    """Does all of it; what an earlier process has finished is not done again."""
    opened = open_splits(data)
    plan = schedule(given, TASKS[opened.layout])
    sizes = given.min_sizes or TASKS[opened.layout].min_sizes
    device = models.chosen_device(engine.device)
    weights = _weights(data.weights)
    stamp = _stamp(opened, plan, sizes, given)
    with contextlib.closing(Workdir(data.workdir)) as workdir:
        workdir.claim(
            Claim(
                "detection",
                stamp,
                {"weights": weights.fingerprint},
                free={"log_every": engine.log_every},
            )
        )
        print(_plan(opened, plan, given, device, data.weights), flush=True)
        torch.manual_seed(given.seed)
        names = opened.train.names
        model = models.build_detector(opened.layout, data.weights, len(names), sizes, given)
        model.to(device)
        first = training.fine_tune(model, opened, plan, given, engine, workdir)
        path = workdir.file("predictions.jsonl")
        if first < plan.steps and os.path.exists(path):  # they are of other weights
            os.remove(path)
        model.transform.min_size = (given.test_size,)
        lines = predictions.predict(model, opened.test.pictures, path)
        values = scores.metrics(opened.layout, opened.test, lines)
        _report(values, stamp, weights, workdir, record)


def _stamp(
    opened: Opened, plan: Schedule, sizes: tuple[int, ...], given: DetectionTraining
) -> dict[str, Any]:
    """The protocol: all that decides how the result was measured."""
    return {
        "name": PROTOCOL,
        "engine": f"torchvision {torchvision.__version__.partition('+')[0]}",
        "network": TASKS[opened.layout].network,
        "dataset": opened.layout,
        "train_split": ",".join(opened.train_split),
        "train_fingerprint": opened.train.fingerprint,
        "train_images": len(opened.lessons),
        "test_split": opened.test_split,
        "test_fingerprint": opened.test.fingerprint,
        "test_images": len(opened.test.pictures),
        **given.stamp(),
        "steps": plan.steps,
        "lr": plan.lr,
        "warmup_steps": plan.warmup_steps,
        "milestones": list(plan.milestones),
        "min_sizes": list(sizes),
    }


def _plan(
    opened: Opened,
    plan: Schedule,
    given: DetectionTraining,
    device: torch.device,
    weights: str,
) -> str:
    lessons, train, test = opened.lessons, opened.train, opened.test
    objects = sum(len(picture.labels) for picture in lessons)
    epochs = plan.steps * given.batch_size / len(lessons)
    drops = ", ".join(map(str, plan.milestones)) or "no step"
    lines = [
        f"{TASKS[opened.layout].network}; torchvision {torchvision.__version__} on {device}",
        f"weights   {weights}" + ("" if weights == RANDOM else ": 265 of 265 tensors"),
        f"train     {len(lessons):,} images with {objects:,} objects of {len(train.names)} classes "
        f"({', '.join(opened.train_split)})",
        f"test      {len(test.pictures):,} images ({opened.test_split})",
        f"schedule  {plan.steps:,} steps of {given.batch_size} ({epochs:.1f} epochs), rate "
        f"{plan.lr:g} after {plan.warmup_steps} steps, ÷ 10 at {drops}",
    ]
    if empty := len(train.pictures) - len(lessons):
        lines.append(f"          {empty:,} training images without an object are left out")
    if train.left_out or test.left_out:
        lines.append(
            f"          {train.left_out + test.left_out} objects without area are left out"
        )
    return "\n".join(lines)


def _weights(given: str) -> _Weights:
    if given == RANDOM:
        return _Weights(RANDOM, RANDOM)
    path = os.path.expanduser(given)
    return _Weights(path, sha256_of(path)[:16])


def _card(weights: str) -> dict[str, Any]:
    """What tools.convert noted beside the file of which export it is; empty without that."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with open(f"{weights}.json", encoding="utf-8") as file:
            card = json.load(file)
        return {"export": card["order"]["export"], "step": card.get("step")}
    return {}


def _report(
    values: dict[str, float],
    stamp: dict[str, Any],
    weights: _Weights,
    workdir: Workdir,
    record: RecordSettings,
) -> None:
    rows = [{"metric": name.removesuffix(" %"), "%": value} for name, value in values.items()]
    print(table(rows))
    path = record.results or workdir.file("results.jsonl")
    for metric, value in values.items():
        append_result(
            path,
            metric=metric,
            value=value,
            protocol=stamp,
            encoder=weights,
            run=record.run_name or os.path.basename(workdir.path),
            details={"converted": _card(weights.path)},
        )
    print(f"Appended to {path}")
