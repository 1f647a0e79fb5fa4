"""Real steps of the recipe, with its views made by the host and by the device."""

import tempfile
from collections.abc import Mapping
from typing import Optional

from msbreg_tf.errors import RunFailedError
from msbreg_tf.run.config import Config
from msbreg_tf.run.doctor import memory
from msbreg_tf.run.doctor.finding import (
    ATTENTION,
    FAILURE,
    OK,
    Finding,
    Subject,
    existing_folder,
    size,
)
from msbreg_tf.run.doctor.images import is_prepared, replaced, with_sample
from msbreg_tf.run.doctor.trial import Trial, run_trial

MODES = ("host", "device")
_SAFE = 0.9  # of the memory
_EQUAL = 1.05  # times as fast is no difference in so few steps


def findings(subject: Subject, steps: int) -> list[Finding]:
    """Trains in both modes and says what came of it.

    Args:
      subject: whose recipe.
      steps: how many in each mode.

    Raises:
      ValueError: the recipe can't begin.
    """
    free = memory.available()
    trials, errors = {}, {}
    for mode in MODES:
        try:
            trials[mode] = _trial(subject, mode, steps)
        except RunFailedError as error:
            errors[mode] = error
    found = [_measured(mode, trial, steps) for mode, trial in trials.items()]
    wanted = subject.config.augment.augment_on
    for mode, error in errors.items():
        state = FAILURE if mode == wanted else ATTENTION
        found.append(Finding(f"steps, {mode}", state, str(error)))
    if trials:
        on_gpu = next(iter(trials.values())).on_gpu
        total = memory.of_first_gpu() if on_gpu else free
        own = is_prepared(subject.config.data)
        found += [advice(subject.config, trials), fits(trials, total)]
        found.append(duration_of(subject.config, trials, own))
    return found


def _trial(subject: Subject, mode: str, steps: int) -> Trial:
    config = subject.config if is_prepared(subject.config.data) else with_sample(subject.config)
    strategy = "auto" if config.run.strategy == "multi_worker" else config.run.strategy
    # On the disk that a run would write to, if one is named; a name with a dot may lie in a run.
    place = existing_folder(config.run.workdir) if config.run.workdir else None
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as folder:
        return run_trial(
            replaced(config, augment_on=mode, strategy=strategy, workdir=f"{folder}/run"), steps
        )


def _measured(mode: str, trial: Trial, steps: int) -> Finding:
    where = "GPU memory" if trial.on_gpu else "memory"
    found = (
        f"{steps} steps with --augment_on={mode}: {trial.images_per_second:,.1f} images per "
        f"second, at most {size(trial.peak_bytes)} of {where}."
    )
    return Finding(f"steps, {mode}", OK, found)


def advice(config: Config, trials: Mapping[str, Trial]) -> Finding:
    """Which mode to use.

    Args:
      config: the recipe.
      trials: {mode: what it took}.
    """
    name = "--augment_on"
    mode = _fastest(trials)
    if len(trials) < len(MODES):
        return Finding(name, ATTENTION, f"Only --augment_on={mode} works here.", "Use that.")
    slower = next(other for other in MODES if other != mode)
    ratio = trials[mode].images_per_second / trials[slower].images_per_second
    if ratio < _EQUAL:
        return Finding(name, OK, "Both --augment_on=host and =device are equally fast here.")
    found = f"--augment_on={mode} is {ratio:.2f} times as fast as ={slower} here."
    if mode == config.augment.augment_on:
        return Finding(name, OK, found, "The recipe has it.")
    return Finding(name, ATTENTION, found, f"Add --augment_on={mode}.")


def fits(trials: Mapping[str, Trial], total: Optional[int]) -> Finding:
    """The largest batch for which memory is enough, from what an image took.

    Args:
      trials: {mode: what it took}.
      total: bytes of memory that there are; None if that is not known.
    """
    mode = _fastest(trials)
    trial = trials[mode]
    what = "GPU memory" if trial.on_gpu else "memory"
    if total is None:
        return Finding("largest batch", OK, f"It is not known how much {what} there is.")
    batch = largest_batch(trial, total)
    found = (
        f"About --batch_size={batch} fits into {size(total)} of {what} with --augment_on={mode}, "
        f"estimated from the growth during {trial.batch_size} images, the program's own included."
    )
    if batch < trial.batch_size:
        remedy = "Lower --batch_size, raise --accumulate_steps, or add --mixed_precision."
        return Finding("largest batch", ATTENTION, found, remedy)
    return Finding("largest batch", OK, found)


def largest_batch(trial: Trial, total: int) -> int:
    """The images of all replicas together that `total` bytes hold, safely.

    With several GPUs the bytes are those of each: R times as many hold R times as many images.
    """
    growth = max(trial.peak_bytes - trial.base_bytes, 1) / trial.batch_size
    most = int(max(_SAFE * total - trial.base_bytes, 0) / growth)
    return most - most % trial.replicas


def duration_of(config: Config, trials: Mapping[str, Trial], own_images: bool) -> Finding:
    """How long the whole recipe takes.

    Args:
      config: the recipe.
      trials: {mode: what it took}.
      own_images: whether they were the recipe's own images; otherwise their number is not known.
    """
    mode = _fastest(trials)
    trial = trials[mode]
    epochs = config.optimizer.epochs
    if own_images:
        seconds = trial.total_steps * trial.batch_size / trial.images_per_second
        what = f"The whole recipe, {trial.total_steps:,} steps in {epochs} epochs,"
    else:
        seconds = epochs * 10**6 / trial.images_per_second
        what = f"Every million images of the data set, in {epochs} epochs,"
    found = f"{what} would take {in_words(seconds)} with --augment_on={mode}."
    return Finding("duration", OK, found)


def in_words(seconds: float) -> str:
    """A time: "2 h 05 min", "12.3 days"."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:,.1f} days"
    minutes = round(seconds / 60)
    if seconds >= 3600:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 120 else f"{seconds:.0f} s"


def _fastest(trials: Mapping[str, Trial]) -> str:
    return max(trials, key=lambda mode: trials[mode].images_per_second)
