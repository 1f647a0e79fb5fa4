"""What a report says at its top: what was trained, how good it is by which evidence, and whether it
collapsed."""

import dataclasses
import re
from typing import Optional

import numpy as np

from msbreg_tf.report.charts import number
from msbreg_tf.report.results import held_out
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.report.series import Series, interruptions, seconds_of_training
from msbreg_tf.run.callbacks.monitors import duration

_KNN = re.compile(r"knn(\d+)_top1")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One answer at the top.

    Attributes:
      question: "Has it collapsed?"
      answer: a word or a number.
      tone: 'good', 'doubtful', 'bad' or 'unknown'; never told by colour alone.
      why: the evidence, and what it can't say.
      by: the evidence in a word or two; answers of several runs by the same one can be compared.
    """

    question: str
    answer: str
    tone: str
    why: str
    by: str = ""


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was found out from features of images that the run trained on.

    Attributes:
      images: how many.
      collapse: as `judge_collapse` says.
      reason: likewise.
      rank_share: effective rank over the possible one.
      votes: {encoder: share of images whose neighbours vote for their class}, empty without
        labels; the trained one is the first.
      chance: share that the most frequent class has; None without labels.
      label_kind: "class" or "folder".
    """

    images: int
    collapse: str
    reason: str
    rank_share: float
    votes: dict[str, float]
    chance: Optional[float]
    label_kind: str


def what_was_trained(run: RunFiles) -> str:
    """One paragraph: method, encoder, images, length, time, devices as far as they are known."""
    config = run.config
    images = _images(run.facts.get("images") or config.data.dataset)
    width = config.network.encoder_width
    narrow = "" if width == 64 else f" of width {width}"
    total = run.metadata.get("step")
    epochs = next((line["epoch"] for line in reversed(run.metrics) if "epoch" in line), 0.0)
    method = {"msbreg": "MSBReg", "byol": "BYOL"}.get(
        config.objective.method, config.objective.method
    )
    parts = [
        f"{method} trained a {config.network.encoder}{narrow} on {images}, at "
        f"{config.view_size} pixels with {config.objective.num_views} views of each image"
    ]
    seconds = seconds_of_training(run)
    time = f", in {duration(seconds)}" if seconds else ""
    if total:
        parts.append(
            f"It is finished: {epochs:g} epoch{'' if epochs == 1 else 's'}, "
            f"{run.last_step:,} steps{time}"
        )
    else:
        wanted = config.optimizer.epochs
        parts.append(
            f"It has no export yet: it stands at epoch {epochs:.1f} of {wanted}, step "
            f"{run.last_step:,}{time}"
        )
    if pauses := interruptions(run):
        times = {1: "once", 2: "twice"}.get(len(pauses), f"{len(pauses)} times")
        parts.append(f"It was interrupted {times} and continued from its last checkpoint")
    return ". ".join(parts) + "."


def findings(run: RunFiles, series: dict[str, Series], judged: Optional[Judged]) -> list[Finding]:
    """The answers to: is it any good, did it learn, has it collapsed?"""
    return [
        _quality(run, series, judged),
        _learned(run, series, judged),
        _collapse(run, series, judged),
    ]


def newest_same_picture(run: RunFiles, series: dict[str, Series]) -> Optional[float]:
    """Share of views whose nearest other is of their picture, from 0 to 1; None if not measured."""
    measured = [r["value"] for r in run.results if r["metric"] == "same picture %"]
    if measured and measured[-1] is not None:
        return measured[-1] / 100
    logged = series.get("same_picture")
    return float(logged.finite.values[-1]) if logged and len(logged.finite.values) else None


def _quality(run: RunFiles, series: dict[str, Series], judged: Optional[Judged]) -> Finding:
    question = "Is it any good?"
    names = [name for name in series if _KNN.fullmatch(name) and len(series[name].finite.values)]
    if names:
        values = series[names[0]].finite
        best = values.values.max()
        k = _KNN.fullmatch(names[0])[1]
        why = (
            f"Held-out images take the class of their {k} nearest training images: "
            f"{100 * values.values[-1]:.1f} % are right at step {values.steps[-1]:,}, "
            f"{100 * values.values[0]:.1f} % at step {values.steps[0]:,}, at best "
            f"{100 * best:.1f} %."
        )
        fell = best - values.values[-1] > 0.02
        if fell:
            why += " It has fallen since its best."
        doubtful = fell or (judged is not None and bool(judged.votes) and not _beats_all(judged))
        if judged and judged.votes and not _beats_all(judged):
            why += f" But: {_votes(judged)[0].lower()}{_votes(judged)[1:]}"
        answer = f"{100 * values.values[-1]:.1f} % k-NN"
        return Finding(question, answer, _doubt(doubtful), why, "held-out images")
    if told := held_out(run):
        answer, why = told
        if judged and judged.votes:
            why += f" {_votes(judged)}"
        tone = _doubt(not _beats_all(judged)) if judged and judged.votes else "unknown"
        return Finding(question, answer, tone, why, "held-out images")
    if judged and judged.votes:
        trained = next(iter(judged.votes.values()))
        answer = f"{100 * trained:.1f} % k-NN"
        doubt = _doubt(not _beats_all(judged))
        return Finding(question, answer, doubt, _votes(judged), "training images")
    share = newest_same_picture(run, series)
    if share is not None:
        why = (
            "No labels, so nobody can say how well it tells classes apart. Of the views, "
            f"{100 * share:.1f} % have another view of their own picture as nearest neighbour: it "
            "tells pictures apart, which is needed for much else but is not yet meaning."
        )
        answer = f"{100 * share:.0f} % recognised"
        return Finding(question, answer, _doubt(share < 0.5), why, "views")
    how = "Give --knn_every=1 to the training, or run tools.geometry on the export."
    return Finding(question, "not measured", "unknown", how)


def _learned(run: RunFiles, series: dict[str, Series], judged: Optional[Judged]) -> Finding:
    question = "Did it learn?"
    said = _said(run, "learnt")
    if judged and len(judged.votes) > 1:
        answer = "yes" if _beats(judged, list(judged.votes.values())[1]) else "not visibly"
        (_, trained), (other, theirs) = list(judged.votes.items())[:2]
        why = (
            f"Of {judged.images:,} training images the neighbours classify {100 * trained:.1f} %, "
            f"and {100 * theirs:.1f} % by {other}."
        )
        if said and said["learnt"] != answer:  # two measures may differ; a reader should know
            why += f" Without labels it is less clear: {said['why']}"
        return Finding(question, answer, _doubt(answer != "yes"), why, "labels")
    if said:
        tone = {"yes": "good", "not visibly": "bad"}.get(said["learnt"], "unknown")
        return Finding(question, said["learnt"], tone, _sentence(said["why"]), "views")
    loss = series.get("loss")
    if loss is not None and len(loss.finite.values) > 1:
        first, last = loss.finite.values[0], loss.finite.values[-1]
        why = (
            f"The loss went from {number(first)} to {number(last)}, which says little: it can fall "
            "while features collapse. tools.geometry on the export tells."
        )
        return Finding(question, "not known", "unknown", why)
    return Finding(question, "not known", "unknown", "Nothing is logged yet.")


def _collapse(run: RunFiles, series: dict[str, Series], judged: Optional[Judged]) -> Finding:
    question = "Has it collapsed?"
    said = _said(run, "collapse")
    if judged is not None or said is not None:
        answer, tone = {
            "none": ("no", "good"),
            "dimensional": ("in part", "doubtful"),
            "complete": ("yes", "bad"),
        }[judged.collapse if judged else said["collapse"]]
        why = _sentence(judged.reason if judged else said["reason"])
        why += f" From {judged.images:,} images;" if judged else " By tools.geometry;"
        return Finding(question, answer, tone, f"{why} thresholds are ours.", "features")
    spread = series.get("std_spread")
    if spread is not None and len(spread.finite.values):
        last = spread.finite.values[-1]
        why = (
            f"The spread of the predictions is {number(last)} at step "
            f"{spread.finite.steps[-1]:,}, where 1 is a uniform sphere and 0 a single point. The "
            "export's features will tell more."
        )
        answer = "no sign" if last > 0.05 else "likely"
        return Finding(question, answer, _doubt(last <= 0.05), why, "predictions")
    return Finding(question, "not known", "unknown", "Nothing is logged yet.")


def _said(run: RunFiles, name: str) -> Optional[dict]:
    """Details of the newest result that has one of this name."""
    told = (r["details"] for r in reversed(run.results) if name in r.get("details", {}))
    return next(told, None)


def _beats_all(judged: Judged) -> bool:
    """Whether the trained encoder is better than the untrained one and than raw pixels."""
    _, *others = judged.votes.values()
    return all(_beats(judged, other) for other in others)


def _beats(judged: Judged, other: float) -> bool:
    """Whether the trained encoder's votes are better than `other`, by two standard errors."""
    trained = next(iter(judged.votes.values()))
    shares = (trained, other)
    return trained > other + 2 * np.sqrt(sum(p * (1 - p) for p in shares) / judged.images)


def _votes(judged: Judged) -> str:
    told = ", ".join(f"{100 * share:.1f} % by {name}" for name, share in judged.votes.items())
    what = "folder" if judged.label_kind == "folder" else "class"
    return (
        f"Each of {judged.images:,} training images takes the {what} of its nearest others: right "
        f"are {told}; always the most frequent {what}: {100 * (judged.chance or 0):.1f} %."
    )


def _images(told: str) -> str:
    """run.json's "sample train, 5000 images" as "5,000 images (sample train)"."""
    match = re.fullmatch(r"(.+), (\d+) images", told)
    return f"{int(match[2]):,} images ({match[1]})" if match else told


def _doubt(is_doubtful: bool) -> str:
    return "doubtful" if is_doubtful else "good"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
