"""k-NN: weighted votes of the nearest training images (METHOD.md, "Evaluation")."""

import dataclasses

from tqdm import tqdm

from msbreg_tf.evaluation.protocols.protocol import Measurement, Protocol, Report, Subject
from msbreg_tf.evaluation.settings import FROZEN_FEATURES
from msbreg_tf.settings import Settings, setting, written


@dataclasses.dataclass(frozen=True)
class KNNSettings(Settings):
    """The vote."""

    k: tuple[int, ...] = setting(
        (20, 200), "Numbers of neighbours.", low=1, source="supplement 2.3"
    )
    temperature: float = setting(
        0.07,
        "T of the votes' weights exp(similarity / T).",
        above=0,
        source="Wu et al. 2018, section 3.4",
    )


def measure(settings: KNNSettings, subject: Subject) -> Report:
    """Top-1 accuracy for every k."""
    from msbreg_tf.evaluation.knn import knn_accuracy
    from msbreg_tf.evaluation.results.text import table

    train, test = subject.train_and_test_features()
    wanted = [k for k in settings.k if k <= len(train.labels)]
    if not wanted:
        raise ValueError(
            f"--k={written(settings.k)}: there are only {len(train.labels)} training images. Use a "
            "smaller k."
        )
    with tqdm(total=len(test.labels), desc="k-NN", unit=" images", leave=False) as bar:
        accuracy = knn_accuracy(
            train.features,
            train.labels,
            test.features,
            test.labels,
            k=wanted,
            temperature=settings.temperature,
            on_block=lambda done: bar.update(done - bar.n),
        )
    percent = {k: 100 * fraction for k, fraction in accuracy.items()}
    stamp = subject.frozen_stamp("knn", train, test)
    vote = {"temperature": settings.temperature, "similarity": "cosine"}
    images = f"{len(test.labels):,} images, neighbours among {len(train.labels):,}"
    text = (
        f"k-NN on {subject.given['dataset']} {subject.given['test_split']}: {images}, "
        f"T = {settings.temperature:g}\n"
        + table([{"k": k, "top-1 %": value} for k, value in percent.items()])
        + "".join(
            f"\nNot measured: k = {k}, because there are only {len(train.labels)} training images "
            "(--k chooses)."
            for k in settings.k
            if k not in wanted
        )
    )
    return Report(
        text,
        [
            Measurement({"top-1 %": value}, {**stamp, "k": k, **vote})
            for k, value in percent.items()
        ],
    )


PROTOCOL = Protocol(
    KNNSettings,
    FROZEN_FEATURES,
    measure,
)
