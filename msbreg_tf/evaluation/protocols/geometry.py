"""The shape of the features: Table 3's alignment and uniformity, the spectrum, and collapse."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Optional

from tqdm import tqdm

from msbreg_tf.augment.settings import AugmentSettings
from msbreg_tf.data.settings import DataSettings
from msbreg_tf.errors import note_broken
from msbreg_tf.evaluation.protocols.protocol import Measurement, Protocol, Report, Subject
from msbreg_tf.evaluation.settings import (
    BatchSettings,
    ExportSettings,
    RecordSettings,
    TestSettings,
)
from msbreg_tf.settings import Settings, setting

if TYPE_CHECKING:
    import numpy as np

    from msbreg_tf.augment.multiview import MultiViewAugmentation
    from msbreg_tf.data.sources.source import Source
    from msbreg_tf.evaluation.spectrum import Geometry


# In the stamp of the label-free measures: all that decides them beside images and views.
_QUALITY = {
    "RankMe": "raw, uncentred, all views",
    "LiDAR": "two views of a picture are a class, delta 1e-4",
    "alpha-ReQ": "centred, all views, ranks 4 to 100, weights 1/rank",
    "stable rank": "raw, uncentred, all views",
    "intrinsic dimension": "TwoNN, first views",
    "cluster learnability": "leave-one-out 1-NN on sqrt(n) k-means clusters, first views",
}


@dataclasses.dataclass(frozen=True)
class GeometrySettings(Settings):
    """Which images, and their views."""

    images: int = setting(
        10000,
        "Images measured, at most; chosen by --seed. The time for the uniformity grows with their "
        "square.",
        low=2,
        changes_result=False,  # the number of images that there were is in the stamp
    )
    seed: int = setting(0, "Seed of the choice of images and of their views.", low=0)


def measure(settings: GeometrySettings, subject: Subject) -> Report:
    """Alignment, uniformity, spectra, quality, verdicts on collapse and learning; no labels."""
    from msbreg_tf.augment.multiview import MultiViewAugmentation
    from msbreg_tf.evaluation.neighbours import same_picture
    from msbreg_tf.evaluation.quality import measure_quality
    from msbreg_tf.evaluation.spectrum import measure_geometry

    augment = MultiViewAugmentation(AugmentSettings(), num_views=2, image_size=subject.image_size)
    source, split = _open(subject)
    twin = _untrained(subject, settings.seed)
    features, untrained, fingerprint = _embed_views(settings, subject, source, augment, twin)
    found = measure_geometry(features[:, 0], features[:, 1])
    shares = [same_picture(each) if each is not None else None for each in (features, untrained)]
    stamp = _stamp(settings, subject, split, len(features), fingerprint, augment)
    return _report(subject, found, shares, measure_quality(features), stamp, source)


def _open(subject: Subject) -> tuple["Source", str]:
    """The images, and the split that was taken."""
    from msbreg_tf.data.sources.table import open_source, place_of_split

    given = subject.given
    wanted = given["test_split"]
    split, data_dir = place_of_split(given["dataset"], wanted, given["data_dir"])
    settings = DataSettings(
        dataset=given["dataset"],
        split=split,
        data_dir=data_dir,
        image_size=subject.image_size,
        max_megapixels=given["max_megapixels"],
    )
    try:
        source = open_source(settings)
    except ValueError as error:
        raise ValueError(
            str(error).replace(f"--split={split}", f"--test_split={wanted}")
        ) from error
    is_whole_folder = given["dataset"] == "folder" and data_dir == given["data_dir"]
    return source, "all images" if is_whole_folder else wanted


def _untrained(subject: Subject, seed: int) -> Optional[Callable[["np.ndarray"], "np.ndarray"]]:
    """Embeds by the same network with fresh weights; None if the export has no Keras model."""
    import tensorflow as tf

    from msbreg_tf.evaluation.features.keras_twin import NAME, untrained_twin

    if not os.path.exists(os.path.join(subject.encoder.path, NAME)):
        return None
    twin = tf.function(untrained_twin(subject.encoder, subject.image_size, seed))
    return lambda images: twin(tf.cast(images, tf.float32), training=False).numpy()


def _embed_views(
    settings: GeometrySettings,
    subject: Subject,
    source: "Source",
    augment: "MultiViewAugmentation",
    twin: Optional[Callable[["np.ndarray"], "np.ndarray"]],
) -> tuple["np.ndarray", Optional["np.ndarray"], str]:
    """Features of two views of each image, float32 [n, 2, F], by the encoder and, if there is one,
    by its untrained twin; and a fingerprint of the images."""
    import numpy as np

    features, untrained, digest = [], [], hashlib.sha256()
    count = min(settings.images, source.num_images)
    with tqdm(total=count, desc="embed", unit=" images", leave=False) as bar:
        batches = _view_batches(source, augment, settings.seed, count, subject.given["batch_size"])
        for views, hashes in batches:
            flat = views.reshape(-1, *views.shape[2:])  # [b·2, S, S, 3]
            features.append(subject.encoder.embed(flat).reshape(*views.shape[:2], -1))
            if twin is not None:
                untrained.append(twin(flat).reshape(*views.shape[:2], -1))
            digest.update(hashes.tobytes())
            bar.update(len(views))
    before = np.concatenate(untrained) if twin is not None else None
    return np.concatenate(features), before, digest.hexdigest()[:16]


def _view_batches(
    source: "Source", augment: "MultiViewAugmentation", seed: int, count: int, batch_size: int
) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Yields views, uint8 [b, 2, S, S, 3], and a hash of each of the images, int64 [b]."""
    import tensorflow as tf

    from msbreg_tf.augment.draws import image_draws
    from msbreg_tf.data.pipeline.parallel import parallel_map
    from msbreg_tf.data.pipeline.seeds import order_seed, views_seed

    def look(index, record):
        image = source.decode(record)
        draws = image_draws(views_seed(seed, 0), index, 2)
        views = augment({"images": image[tf.newaxis], "draws": draws[tf.newaxis]})["images"][0]
        pixels = tf.io.serialize_tensor(image)
        return views, tf.strings.to_hash_bucket_strong(pixels, 2**63 - 1, key=[1, 2])

    chosen = source.ordered(order_seed(seed, 0)).take(count)
    images_at_once = max(1, (batch_size + 1) // 2)
    views = parallel_map(chosen, look).batch(images_at_once)
    return views.prefetch(2).as_numpy_iterator()


def _stamp(
    settings: GeometrySettings,
    subject: Subject,
    split: str,
    count: int,
    fingerprint: str,
    augment: "MultiViewAugmentation",
) -> dict[str, Any]:
    from msbreg_tf.evaluation import spectrum

    return {
        "name": "geometry",
        "network": "online encoder, frozen",
        "features": "pooled, before the projector, over their norm",
        "augmentation": {"two views of Table 1's family": augment.settings.stamp()},
        "dataset": subject.given["dataset"],
        "image_size": subject.image_size,
        "test_split": split,
        "test_fingerprint": fingerprint,
        "test_images": count,
        **settings.stamp(),
        "alignment": "mean squared distance of the two views of an image",
        "uniformity": "log mean exp(-2 d^2) over i != j, mean of first and of second views",
        "same picture": "share of views whose nearest other view is of the same picture",
        "spectrum": "singular values of all views' features over the root of their number",
        "collapse": {
            "complete": f"spread < {spectrum.COMPLETE_BELOW:g}",
            "dimensional": f"centred effective rank < {spectrum.DIMENSIONAL_BELOW:g} of possible",
        },
    }


def _report(
    subject: Subject,
    found: "Geometry",
    shares: list[Optional[float]],
    quality: dict[str, float],
    stamp: dict[str, Any],
    source: "Source",
) -> Report:
    from msbreg_tf.evaluation.neighbours import judge_learning
    from msbreg_tf.evaluation.quality import MEASURES
    from msbreg_tf.evaluation.results.text import spectrum_bars

    note_broken(source.name, source.broken_files(), source.num_images, "replaced by others")
    numbers = _numbers(found, shares[0], subject.encoder.feature_size)
    learnt, why = judge_learning(*shares, stamp["test_images"])
    verdict = {"collapse": found.verdict, "reason": found.reason, "learnt": learnt, "why": why}
    details = {
        "effective rank": {"singular values": found.singular_values.tolist()},
        "centred effective rank": {"singular values": found.centred_singular_values.tolist()},
        "std per dimension": {"std": found.std.tolist()},
        "same picture %": {"untrained": None if shares[1] is None else 100 * shares[1]},
    }
    measures = {MEASURES[k].metric: (value, MEASURES[k].meaning) for k, value in quality.items()}
    lines = [
        f"Unit features of {stamp['test_images']:,} images of {source.name}, two views each",
        *_lines(numbers),
        "\nThe same features as they are, not normalised: how good, each as its paper says",
        *_lines(measures),
        "\nCentred singular values (rank, value)",
        spectrum_bars(found.centred_singular_values),
        f"\nCollapse: {found.verdict}. {found.reason[0].upper()}{found.reason[1:]}",
        f"Learnt: {learnt}. {why[0].upper()}{why[1:]}",
    ]
    raw = stamp | {"features": "pooled, before the projector", "quality": _QUALITY}
    measurements = [
        Measurement({metric: value}, its_stamp, verdict | details.get(metric, {}))
        for group, its_stamp in ((numbers, stamp), (measures, raw))
        for metric, (value, _) in group.items()
    ]
    return Report("\n".join(lines), measurements)


def _lines(numbers: dict[str, tuple[float, str]]) -> list[str]:
    return [
        f"  {metric:<22} {value:10.4g}  {meaning}" for metric, (value, meaning) in numbers.items()
    ]


def _numbers(
    found: "Geometry", same_picture: float, feature_size: int
) -> dict[str, tuple[float, str]]:
    """{metric: (value, what it means)}."""
    std = found.std
    return {
        "alignment": (found.alignment, "mean squared distance of two views; less is closer"),
        "uniformity": (found.uniformity, "log mean Gaussian potential; less is more uniform"),
        "same picture %": (
            100 * same_picture,
            "of the views have another view of their picture as nearest neighbour",
        ),
        "effective rank": (found.effective_rank, f"of {feature_size} dimensions"),
        "centred effective rank": (found.centred_effective_rank, "the same without the mean"),
        "spread": (found.spread, "mean squared distance from the mean, 0 to 1"),
        "std per dimension": (
            float(std.mean()),
            f"mean; smallest {std.min():.2g}, largest {std.max():.2g}; on a uniform sphere "
            f"{feature_size**-0.5:.2g}",
        ),
    }


PROTOCOL = Protocol(
    GeometrySettings, (ExportSettings, TestSettings, BatchSettings, RecordSettings), measure
)
