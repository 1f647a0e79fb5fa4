"""What is done in a part's folder: a trial, a training and its evaluation, or that alone."""

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

from benchmarks.race.parts import REQUEST, read, run

Request = Mapping[str, Any]


def train(folder: str, request: Request) -> dict[str, Any]:
    """Trains and evaluates.

    Returns:
      "scores", accuracies in %; "seconds", of the clock that is named in "clock", with the views;
      "training_seconds", without them. Or "diverged", the step at which a loss was not finite.
    """
    is_peer = "module" in request
    modules = ["feeder", "peers.train"] if is_peer else ["ours"]
    run(folder, modules, request["threads"])
    training = read(os.path.join(folder, "training.json"))
    if "diverged" in training:
        return {"diverged": training["diverged"]}
    run(folder, ["evaluate"], request["threads"])
    shutil.rmtree(os.path.join(folder, "run", "checkpoints"), ignore_errors=True)
    views = read(os.path.join(folder, "views.json")) if is_peer else None
    scores = read(os.path.join(folder, "scores.json"))
    return {"scores": scores, **times(request, training, views)}


def times(request: Request, training: Mapping[str, Any], views) -> dict[str, Any]:
    """What a training took, from what its processes measured.

    On CPUs it is the processor time of training and augmentation together; a peer's views are made
    by another process (`views`), ours in the same one, so that what they cost alone is taken off
    by what the trial measured. On a GPU it is wall time, in which views are made beside it.
    """
    spent = training["seconds"]
    facts = {"device": training["device"], "wall_seconds": spent["wall"]}
    if training["device"] != "CPU":
        seconds = {"seconds": spent["wall"], "training_seconds": spent["wall"], "clock": "wall"}
    elif views is not None:
        whole = spent["cpu"] + views["seconds"]["cpu"]
        seconds = {"seconds": whole, "training_seconds": spent["cpu"], "clock": "CPU"}
    else:
        number = request["steps"] * request["batch"] * request["num_views"]
        alone = spent["cpu"] - number * request["seconds_per_view"]
        seconds = {"seconds": spent["cpu"], "training_seconds": alone, "clock": "CPU"}
    return {**seconds, **facts}


def untrained(folder: str, request: Request) -> dict[str, Any]:
    """Evaluates the initial weights of the request's seed."""
    run(folder, ["evaluate"], request["threads"])
    return {"scores": read(os.path.join(folder, "scores.json"))}


def peer_trial(folder: str, request: Request) -> dict[str, Any]:
    """Seconds of a peer's step in each form, and the fastest form."""
    run(folder, ["peers.train"], request["threads"])
    found = read(os.path.join(folder, "training.json"))
    return {**found, "fastest": fastest(found["forms"])}


def our_trial(folder: str, request: Request) -> dict[str, Any]:
    """Seconds of our step in each precision, the fastest, and seconds of a view alone."""
    forms = []
    for precision in ("float32", "bfloat16"):
        mixed = precision == "bfloat16"
        settings = {**request["settings"], "mixed_precision": mixed}
        inner = _inner(folder, precision, {**request, "settings": settings, "trial": True})
        run(inner, ["ours"], request["threads"])
        found = read(os.path.join(inner, "training.json"))
        clock = "cpu" if found["device"] == "CPU" else "wall"
        seconds = found["seconds"][clock] / found["steps"]
        forms.append({"form": {"precision": precision}, "seconds": seconds})
        shutil.rmtree(os.path.join(inner, "run"))
    inner = _inner(folder, "views", {**request, "steps": request["view_steps"], "discard": True})
    run(inner, ["feeder"], request["threads"])
    found = read(os.path.join(inner, "views.json"))
    number = found["steps"] * request["batch"] * request["num_views"]
    per_view = found["seconds"]["cpu"] / number
    return {"forms": forms, "fastest": fastest(forms), "seconds_per_view": per_view}


def fastest(forms: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The form whose step takes least."""
    return min(forms, key=lambda each: each["seconds"])["form"]


def _inner(folder: str, name: str, request: Request) -> str:
    inner = os.path.join(folder, name)
    os.makedirs(inner)
    with open(os.path.join(inner, REQUEST), "w") as file:
        json.dump(request, file)
    return inner
