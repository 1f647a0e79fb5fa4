"""What to try next: a table of rules that look at facts; each that applies has a command."""

import dataclasses
import re
from collections.abc import Callable
from typing import NamedTuple, Optional

from msbreg_tf.errors import as_typed
from msbreg_tf.report import invocations
from msbreg_tf.report.curves import words_of
from msbreg_tf.report.run_files import RunFiles
from msbreg_tf.report.series import Series, late_rise, relative_fall

_MEASURED = re.compile(r"knn\d+_top1|same_picture")
_FEW_STEPS = 2000  # published runs have tens of thousands


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a run when something is to be advised.

    Attributes:
      run: its files.
      series: what it logs.
      collapse: 'none', 'dimensional', 'complete', or None if there is no export yet.
      rank_share: effective rank over the possible one; None likewise.
      same_picture: the newest share of views whose nearest other is of their picture; None if it
        is not measured.
      duplicates: share of the looked-at images that have a near-duplicate; None likewise.
      has_labels: whether the images have classes.
      finished: whether there is an export.
      data_dir: where the images are, if it is known.
    """

    run: RunFiles
    series: dict[str, Series]
    collapse: Optional[str] = None
    rank_share: Optional[float] = None
    same_picture: Optional[float] = None
    duplicates: Optional[float] = None
    has_labels: bool = False
    finished: bool = False
    data_dir: Optional[str] = None


class Advice(NamedTuple):
    """One thing to try: in a few words, why, and the command."""

    title: str
    why: str
    command: str


def advise(facts: Facts, count: int = 3) -> list[Advice]:
    """The first `count` rules that apply, the most urgent first."""
    found = [advice for rule in RULES if (advice := rule(facts)) is not None]
    return [each._replace(command=as_typed(each.command)) for each in found[:count]]


def _collapsed(facts: Facts) -> Optional[Advice]:
    if facts.collapse != "complete":
        return None
    lr = facts.run.config.optimizer.base_lr
    return Advice(
        "Start again with a lower learning rate",
        "All features are nearly the same: the run has collapsed, and no longer training mends it.",
        _train(facts, "slower", base_lr=lr / 4),
    )


def _not_finite(facts: Facts) -> Optional[Advice]:
    loss = facts.series.get("loss")
    gaps = 0 if loss is None else len(loss.values) - len(loss.finite.values)
    if not gaps:
        return None
    lr = facts.run.config.optimizer.base_lr
    return Advice(
        "Lower the learning rate",
        f"The loss was not finite at {gaps} of {len(loss.values)} logged steps.",
        _train(facts, "slower", base_lr=lr / 2),
    )


def _low_rank(facts: Facts) -> Optional[Advice]:
    if facts.rank_share is None or facts.rank_share >= 0.25 or facts.collapse == "complete":
        return None
    objective = facts.run.config.objective
    if objective.method != "msbreg":
        return Advice(
            "Spread the features with the singular value loss",
            f"They use {100 * facts.rank_share:.0f} % of their possible effective rank, and "
            f"{objective.method} has no term against that.",
            _train(facts, "msbreg", method="msbreg", lambda_s=0.004, lambda_b=0.05),
        )
    raised = 2 * objective.lambda_s or 0.004
    return Advice(
        f"Raise λ_s from {objective.lambda_s:g} to {raised:g}",
        f"The features use {100 * facts.rank_share:.0f} % of their possible effective rank; the "
        "singular value loss spreads them over more dimensions.",
        _train(facts, "spread", lambda_s=raised),
    )


def _longer(facts: Facts) -> Optional[Advice]:
    steps, epochs = facts.run.last_step, facts.run.config.optimizer.epochs
    fall = relative_fall(facts.series["loss"]) if "loss" in facts.series else 0.0
    fell = f"The loss still fell: {100 * fall:.0f} % of all its fall came in the last fifth."
    is_short = steps < _FEW_STEPS
    short = f"It had {steps:,} steps, and thousands are usual."
    reasons = [*_risen(facts), *([fell] * (fall >= 0.05)), *([short] * is_short)]
    if not facts.finished or facts.collapse == "complete" or not reasons:
        return None
    wanted = (4 if is_short else 2) * epochs
    return Advice(
        f"Train longer: {wanted} epochs instead of {epochs}",
        " ".join(dict.fromkeys((reasons[0], reasons[-1]))),
        _train(facts, "longer", epochs=wanted),
    )


def _risen(facts: Facts) -> list[str]:
    for name, series in facts.series.items():
        if _MEASURED.fullmatch(name) and (rise := late_rise(series)):
            return [
                f"{words_of(name)[0]} still rose at the end, from {100 * rise[0]:.1f} % to "
                f"{100 * rise[1]:.1f} % in the last steps."
            ]
    return []


def _alike(facts: Facts) -> Optional[Advice]:
    share, least = facts.same_picture, facts.run.config.augment.crop_area_min
    if share is None or share < 0.98 or least <= 0.05:
        return None
    return Advice(
        f"Crop harder: --crop_area_min={least / 2:g}",
        f"{100 * share:.1f} % of the views find another view of their picture: they are too alike "
        "to teach much more.",
        _train(facts, "crops", crop_area_min=least / 2),
    )


def _cropped(facts: Facts) -> Optional[Advice]:
    share, least = facts.same_picture, facts.run.config.augment.crop_area_min
    if share is None or share > 0.25 or least >= 0.4 or not facts.finished:
        return None
    if facts.run.last_step < _FEW_STEPS:  # it had no time to learn to find them
        return None
    return Advice(
        f"Crop less: --crop_area_min={min(0.4, 2 * least):g}",
        f"Only {100 * share:.1f} % of the views find another view of their picture: two crops may "
        "often show nothing in common. Look at the views below.",
        _train(facts, "crops", crop_area_min=min(0.4, 2 * least)),
    )


def _twins(facts: Facts) -> Optional[Advice]:
    if facts.duplicates is None or facts.duplicates < 0.02 or not facts.run.exports:
        return None
    if facts.run.config.data.dataset != "folder" or not facts.data_dir:
        return None
    return Advice(
        "Look at the near-duplicates, and remove them",
        f"{100 * facts.duplicates:.1f} % of the images have a near-duplicate. Without them every "
        "step shows more different images.",
        invocations.duplicates(facts.run, facts.data_dir),
    )


def _slow(facts: Facts) -> Optional[Advice]:
    speed = facts.series.get("images_per_second")
    if speed is None or not len(speed.finite.values):
        return None
    values = speed.finite.values
    return Advice(
        "Find out what bounds the speed",
        f"It trained on {values[len(values) // 2 :].mean():,.0f} images/s. The doctor measures "
        "input and step apart; if input is the slower one, --augment_on=device or a data service "
        "helps.",
        invocations.of_settings("tools.doctor", facts.run, facts.data_dir),
    )


def _measure(facts: Facts) -> Optional[Advice]:
    if not facts.finished or any(r["protocol"]["name"] == "geometry" for r in facts.run.results):
        return None
    return Advice(
        "Measure what it learned, without labels",
        "Alignment, uniformity, spectrum, and whether views of a picture find one another on "
        "images that it has not seen.",
        invocations.evaluation("geometry", facts.run, facts.data_dir),
    )


def _linear(facts: Facts) -> Optional[Advice]:
    done = {result["protocol"]["name"] for result in facts.run.results}
    if not (facts.finished and facts.has_labels) or "linear" in done:
        return None
    return Advice(
        "Train a linear classifier on the features",
        "There are labels; a linear classifier is the usual measure of an encoder.",
        invocations.evaluation("linear_eval", facts.run, facts.data_dir),
    )


def _few_labels(facts: Facts) -> Optional[Advice]:
    done = {result["protocol"]["name"] for result in facts.run.results}
    if not (facts.finished and facts.has_labels) or "finetune" in done:
        return None
    return Advice(
        "Fine-tune it with a tenth of the labels",
        "That is what such an encoder is for: a classifier from few labels.",
        invocations.fine_tuning(facts.run, facts.data_dir),
    )


def _use(facts: Facts) -> Optional[Advice]:
    if not facts.finished:
        return Advice(
            "Let it finish",
            f"It stands at step {facts.run.last_step:,}. The same command continues it.",
            _train(facts, None),
        )
    return Advice(
        "Use it: a folder of images to one file of embeddings",
        "For search, clusters, or a classifier of your own.",
        invocations.embedding(facts.run),
    )


def _again(facts: Facts) -> Optional[Advice]:
    if not facts.finished:
        return None
    seed = facts.run.config.run.seed + 1
    return Advice(
        "Train it again with another seed",
        "One run does not tell how much of a number is chance; a report of both shows it.",
        _train(facts, f"seed{seed}", seed=seed),
    )


def _train(facts: Facts, name: Optional[str], **changes) -> str:
    return invocations.training(facts.run, facts.data_dir, name, **changes)


RULES: tuple[Callable[[Facts], Optional[Advice]], ...] = (
    *(_collapsed, _not_finite, _low_rank, _longer, _alike, _cropped, _twins),
    *(_linear, _measure, _few_labels, _slow, _use, _again),
)
