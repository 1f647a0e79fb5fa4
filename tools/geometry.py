r"""Measures the shape of an encoder's features: Table 3's alignment and uniformity, and collapse.

    python -m tools.geometry --saved_model=runs/cifar10/export/STEP --dataset=cifar10

Makes two augmented views of each image (Table 1's augmentation, the same draws for every encoder),
embeds them, and looks at the unit features. No labels are needed: --dataset=folder takes any folder
of images given by --data_dir, or the folder --test_split in it.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Optional

import numpy as np
from absl import flags
from tqdm import tqdm

from msbreg_tf.commands import cli
from tools import _eval_flags

FLAGS = flags.FLAGS
_SHARED = (
    *("saved_model", "dataset", "test_split", "data_dir", "image_size", "batch_size"),
    *("results", "run_name"),
)
_OWN = ("images", "seed")


def define_flags() -> None:
    """Defines some shared evaluation flags, and --images and --seed."""
    _eval_flags.define(_SHARED)
    flags.DEFINE_integer(
        "images",
        10000,
        "Images measured, at most; chosen by --seed. The time for the uniformity grows with their "
        "square.",
        lower_bound=2,
    )
    flags.DEFINE_integer("seed", 0, "Seed of the choice of images and of their views.")


def main(argv: list[str]) -> None:
    del argv
    encoder = _eval_flags.load_encoder()
    size = _eval_flags.image_size(encoder)

    # Late, so that --help and wrong flags do not wait for TensorFlow.
    from msbreg_tf.augment.multiview import build_augmentation
    from msbreg_tf.data.sources.opening import open_source
    from msbreg_tf.evaluation.spectrum import measure_geometry
    from msbreg_tf.run.config import Config, DataConfig, ObjectiveConfig

    split, data_dir = _place()
    data = DataConfig(dataset=FLAGS.dataset, split=split, data_dir=data_dir, image_size=size)
    augment = build_augmentation(Config(data=data, objective=ObjectiveConfig(num_views=2)))
    source = open_source(data)
    features, fingerprint = _embed_views(encoder, source, augment)
    found = measure_geometry(features[:, 0], features[:, 1])
    for path in source.broken_files():
        print(f"Broken, another image was taken instead: {path}")
    protocol = _protocol(size, len(features), fingerprint, augment)
    _report(encoder, found, protocol, source.name)


def _place() -> tuple[str, Optional[str]]:
    """Split and data_dir of the source; a folder has no splits, but may have folders for them."""
    if FLAGS.dataset != "folder" or not FLAGS.data_dir:
        return FLAGS.test_split, FLAGS.data_dir
    inside = os.path.join(os.path.expanduser(FLAGS.data_dir), FLAGS.test_split)
    return "train", inside if os.path.isdir(inside) else FLAGS.data_dir


def _embed_views(encoder, source, augment) -> tuple[np.ndarray, str]:
    """Features of two views of each image, float32 [n, 2, F], and a fingerprint of the images."""
    features, digest = [], hashlib.sha256()
    count = min(FLAGS.images, source.num_images)
    with tqdm(total=count, desc="embed", unit=" images", dynamic_ncols=True) as bar:
        for views, hashes in _view_batches(source, augment, count):
            flat = views.reshape(-1, *views.shape[2:])  # [b·2, S, S, 3]
            features.append(encoder.embed(flat).reshape(*views.shape[:2], -1))
            digest.update(hashes.tobytes())
            bar.update(len(views))
    return np.concatenate(features), digest.hexdigest()[:16]


def _view_batches(source, augment, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields views, uint8 [b, 2, S, S, 3], and a hash of each of the images, int64 [b]."""
    import tensorflow as tf

    from msbreg_tf.augment.draws import image_draws
    from msbreg_tf.data.pipeline.parallel import parallel_map
    from msbreg_tf.data.pipeline.seeds import order_seed, views_seed

    def look(index, record):
        image = source.decode(record)
        draws = image_draws(views_seed(FLAGS.seed, 0), index, 2)
        views = augment({"images": image[tf.newaxis], "draws": draws[tf.newaxis]})["images"][0]
        pixels = tf.io.serialize_tensor(image)
        return views, tf.strings.to_hash_bucket_strong(pixels, 2**63 - 1, key=[1, 2])

    chosen = source.ordered(order_seed(FLAGS.seed, 0)).take(count)
    views = parallel_map(chosen, look).batch(-(-FLAGS.batch_size // 2))
    return views.prefetch(2).as_numpy_iterator()


def _protocol(size: int, count: int, fingerprint: str, augment) -> dict:
    from msbreg_tf.evaluation import spectrum as geometry

    layer = augment.get_config()
    for name in ("name", "trainable", "dtype", "seed", "num_views", "image_size"):
        layer.pop(name, None)
    return {
        "name": "geometry",
        "network": "online encoder, frozen",
        "features": "pooled, before the projector, over their norm",
        "augmentation": {"two views of Table 1's family": layer},
        "dataset": FLAGS.dataset,
        "image_size": size,
        "test_split": FLAGS.test_split,
        "test_fingerprint": fingerprint,
        "test_images": count,
        "seed": FLAGS.seed,
        "alignment": "mean squared distance of the two views of an image",
        "uniformity": "log mean exp(-2 d^2) over i != j, mean of first and of second views",
        "spectrum": "singular values of all views' features over the root of their number",
        "collapse": {
            "complete": f"spread < {geometry.COMPLETE_BELOW:g}",
            "dimensional": f"centred effective rank < {geometry.DIMENSIONAL_BELOW:g} of possible",
        },
    }


def _report(encoder, found, protocol: dict, source_name: str) -> None:
    from msbreg_tf.evaluation.spectrum import spectrum_bars

    numbers = _numbers(found, encoder.feature_size)
    verdict = {"collapse": found.verdict, "reason": found.reason}
    details = {
        "effective rank": {"singular values": found.singular_values.tolist()},
        "centred effective rank": {"singular values": found.centred_singular_values.tolist()},
        "std per dimension": {"std": found.std.tolist()},
    }
    for metric, (value, _) in numbers.items():
        its_own = {**verdict, **details.get(metric, {})}
        path = _eval_flags.append_results({metric: value}, protocol, encoder, its_own)
    print(f"Unit features of {protocol['test_images']:,} images of {source_name}, two views each")
    for metric, (value, meaning) in numbers.items():
        print(f"  {metric:<22} {value:10.4g}  {meaning}")
    print("\nCentred singular values (rank, value)")
    print(spectrum_bars(found.centred_singular_values))
    print(f"\nCollapse: {found.verdict}. {found.reason[0].upper()}{found.reason[1:]}")
    print(f"Appended to {path}")


def _numbers(found, feature_size: int) -> dict[str, tuple[float, str]]:
    """{metric: (value, what it means)}."""
    std = found.std
    return {
        "alignment": (found.alignment, "mean squared distance of two views; less is closer"),
        "uniformity": (found.uniformity, "log mean Gaussian potential; less is more uniform"),
        "effective rank": (found.effective_rank, f"of {feature_size} dimensions"),
        "centred effective rank": (found.centred_effective_rank, "the same without the mean"),
        "spread": (found.spread, "mean squared distance from the mean, 0 to 1"),
        "std per dimension": (
            float(std.mean()),
            f"mean; smallest {std.min():.2g}, largest {std.max():.2g}; on a uniform sphere "
            f"{feature_size**-0.5:.2g}",
        ),
    }


if __name__ == "__main__":
    define_flags()
    cli.run(main, own_flags=(*_SHARED, *_OWN), training_flags=False)
