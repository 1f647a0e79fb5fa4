"""One fine-tuning from one start: rates chosen, trained, tested once, beside the frozen probe."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tqdm import tqdm

from msbreg_tf.errors import PreemptedError
from msbreg_tf.evaluation.finetune.choosing import Probe, choose_rates
from msbreg_tf.evaluation.finetune.model import FineTuner
from msbreg_tf.evaluation.finetune.settings import FineTuneSettings
from msbreg_tf.evaluation.finetune.starts import Start
from msbreg_tf.evaluation.finetune.training import (
    FineTuneResult,
    LabelledSplits,
    accuracy_on,
    fine_tune,
)
from msbreg_tf.evaluation.protocols.protocol import Measurement, Subject, accuracies


class Outcome(NamedTuple):
    """What one fine-tuning gave.

    Attributes:
      model: trained.
      settings: with a number for each.
      tried: {rates tried: top-1 in % on the images set aside}.
      result: on the test split.
      frozen: top-1 of the frozen probe there, 0 to 1.
    """

    model: FineTuner
    settings: FineTuneSettings
    tried: dict[str, float]
    result: FineTuneResult
    frozen: float

    def values(self) -> dict[str, float]:
        """The metrics, in %."""
        result = accuracies(self.result.top1, self.result.top5)
        return result | {"frozen probe top-1 %": 100 * self.frozen}


def run_part(
    start: Start,
    splits: LabelledSplits,
    settings: FineTuneSettings,
    *,
    image_size: int,
    folder: str,
    choosing: str,
    title: str = "",
) -> Outcome:
    """Trains from wherever `folder` stands, and tests.

    Args:
      start: what is trained.
      splits: the data.
      settings: batch size, epochs and rates may be left open.
      image_size: side S.
      folder: of the checkpoints.
      choosing: folder of those of the rates that are tried.
      title: before what the progress bar says.

    Raises:
      PreemptedError: Ctrl-C after at least one epoch; the same call continues.
    """
    concrete = settings.at(len(splits.train.labels))
    probe = Probe(start.embed(settings.seed), splits, image_size, settings.seed)
    frozen = probe.top1()
    head = probe if settings.start == "probe" else None
    with _progress(concrete.epochs, title) as show:
        concrete, tried = choose_rates(
            lambda: start.build(settings.seed),
            splits,
            concrete,
            head,
            image_size=image_size,
            folder=choosing,
            on_epoch=show,
        )
        model = fine_tune(
            start.build(settings.seed),
            splits,
            concrete,
            image_size=image_size,
            folder=folder,
            start=None if head is None else head.head(),
            on_epoch=lambda done, logs: show("fine-tuning", done, logs),
        )
    result = accuracy_on(
        model,
        splits.test,
        splits.test_labels,
        image_size=image_size,
        centre_crop=settings.centre_crop,
    )
    return Outcome(model, concrete, tried, result, frozen)


def measurement(
    outcome: Outcome,
    start: Start,
    splits: LabelledSplits,
    settings: FineTuneSettings,
    subject: Subject,
    details: dict[str, Any],
) -> Measurement:
    """The values as they are recorded, stamped with what they started from.

    Args:
      outcome, start, splits, settings: of `run_part`.
      subject: whose results file it will be.
      details: to be recorded besides.
    """
    images = subject.images_stamp(
        (splits.train.fingerprint, len(splits.train.labels)),
        (splits.test_fingerprint, outcome.result.test_images),
    )
    stamp = {"name": "finetune", **images, **settings.protocol(start.network)}
    found = {
        "tested_images": outcome.result.test_images,
        "settings": outcome.settings.stamp(),
        "tried": outcome.tried,
    }
    return Measurement(outcome.values(), stamp, details | found)


@contextlib.contextmanager
def _progress(epochs: int, title: str) -> Iterator[Any]:
    """A bar over epochs; yields what shows (stage, epochs done, logs of the last one).

    Raises:
      PreemptedError: in the body, Ctrl-C after at least one epoch.
    """
    shown = False
    with tqdm(total=epochs, unit=" epochs", leave=False) as bar:

        def show(stage: str, done: int, logs: dict[str, float]) -> None:
            nonlocal shown
            shown = True
            bar.set_description(title + stage, refresh=False)
            bar.set_postfix(logs, refresh=False)
            if done < bar.n:  # another stage
                bar.reset()
            bar.update(done - bar.n)

        try:
            yield show
        except KeyboardInterrupt as error:
            if not shown:
                raise
            raise PreemptedError(
                "Stopped. The same command continues after the last whole epoch."
            ) from error
