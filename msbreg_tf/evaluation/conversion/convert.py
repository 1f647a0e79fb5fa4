"""One conversion: write, run what was written, compare, and only then keep it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any, NamedTuple, Optional

from tqdm import tqdm

import msbreg_tf
from msbreg_tf.errors import RunFailedError, one_line
from msbreg_tf.evaluation.conversion.quiet import native_silence
from msbreg_tf.evaluation.conversion.samples import load_samples
from msbreg_tf.evaluation.conversion.table import TARGETS
from msbreg_tf.evaluation.conversion.target import Job, Run, Target
from msbreg_tf.evaluation.conversion.verify import Verdict, compare, knn_cost
from msbreg_tf.evaluation.features.exported import ExportedEncoder
from msbreg_tf.files.whole import sha256_of, sync, sync_tree

CARD = ".json"  # ends the name of the card beside a file
_SIZE = 224  # pixels, where an export does not say its size


class Order(NamedTuple):
    """What is asked for.

    Attributes:
      to: a key of `TARGETS`.
      precision: a key of its `bars`.
      output: file to write.
      data_dir: folder of images to verify on; None for the shipped ones.
      images: how many.
      knn_images: of either split of the shipped sample, where k-NN accuracy is measured.
    """

    to: str
    precision: str
    output: str
    data_dir: Optional[str]
    images: int
    knn_images: int


def convert(encoder: ExportedEncoder, order: Order) -> dict[str, Any]:
    """Writes the converted file, its companions and its card; returns the card.

    Raises:
      ValueError: the format has no counterpart of this encoder, or there are no images.
      RunFailedError: the library that converts fails, or the file computes something else. Nothing
        is kept then.
    """
    target, size = TARGETS[order.to], encoder.image_size or _SIZE
    target.check(encoder, order.precision)
    job = Job(encoder, order.precision, load_samples(order.data_dir, order.images, size))
    with _room_beside(order.output) as folder:
        path = os.path.join(folder, os.path.basename(order.output))
        with tqdm(total=1, desc=f"convert to {order.to}", leave=False) as bar:
            run, verdict = _written_and_compared(target, job, path, order)
            bar.update()
        _check_bar(verdict, target, order)
        card = _card(target, job, order, verdict, folder)
        if target.measures_knn(order.precision):
            card["knn"] = knn_cost(encoder.embed, run, size, order.knn_images)
        _keep(folder, order.output, card)
    return card


def _written_and_compared(target: Target, job: Job, path: str, order: Order) -> tuple[Run, Verdict]:
    try:
        with native_silence():
            target.write(job, path)
            run = target.load(path)
            any_size = target.any_size(order.precision)
            return run, compare(job.encoder.embed, run, job.samples, any_size)
    except OSError:  # a full disk, which is told as one
        raise
    except Exception as error:  # each library has its own
        raise RunFailedError(
            f"--to={order.to}: writing the file or running it by {target.runner} failed "
            f"({one_line(error)}). Nothing is kept."
        ) from error


def is_complete(encoder: ExportedEncoder, order: Order) -> bool:
    """Whether the output is what this order would write, whole.

    Raises:
      ValueError: it exists and is something else.
    """
    if not os.path.exists(order.output):
        return False
    try:
        with open(order.output + CARD) as file:
            card = json.load(file)
        digest = card["files"][os.path.basename(order.output)]["sha256"]
        is_same = card["order"] == _stamp(encoder, order) and digest == sha256_of(order.output)
    except (OSError, ValueError, TypeError, KeyError):
        is_same = False
    if not is_same:
        raise ValueError(
            f"--output={order.output}: it exists, with other contents. Remove it, or choose "
            "another name."
        )
    return True


def _stamp(encoder: ExportedEncoder, order: Order) -> dict[str, Any]:
    return {"to": order.to, "precision": order.precision, "export": encoder.fingerprint}


@contextlib.contextmanager
def _room_beside(output: str) -> Iterator[str]:
    """A folder on the disk of `output` that is gone afterwards."""
    parent, name = os.path.split(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    folder = os.path.join(parent, f".partial-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_bar(verdict: Verdict, target: Target, order: Order) -> None:
    bar = target.bars[order.precision]
    if not verdict.keeps(bar):
        raise RunFailedError(
            f"--to={order.to}: the file differs from the export by {verdict.difference:.1e} of the "
            f"largest feature (lowest cosine {verdict.cosine:.6f}); allowed are "
            f"{bar.difference:g} and {bar.cosine:g}. Nothing is kept."
        )


def _card(target: Target, job: Job, order: Order, verdict: Verdict, folder: str) -> dict[str, Any]:
    bar = target.bars[order.precision]
    files = {
        name: {
            "bytes": os.path.getsize(os.path.join(folder, name)),
            "sha256": sha256_of(os.path.join(folder, name)),
        }
        for name in sorted(os.listdir(folder))
    }
    encoder = job.encoder
    return {
        "order": _stamp(encoder, order),
        "files": files,
        **target.facts(job),
        "image_size": encoder.image_size,
        "feature_size": encoder.feature_size,
        "step": encoder.metadata.get("step"),
        "verified": {
            "largest_relative_difference": verdict.difference,
            "lowest_cosine": verdict.cosine,
            "allowed": {"difference": bar.difference, "cosine": bar.cosine},
            "by": target.runner,
            "images": verdict.images,
            "sizes": [list(size) for size in verdict.sizes],
            "from": job.samples.name,
        },
        "versions": versions(target),
    }


def versions(target: Target) -> dict[str, str]:
    """{distribution: version} of all that took part."""
    import numpy as np
    import tensorflow as tf

    own = {"msbreg_tf": msbreg_tf.__version__, "tensorflow": tf.__version__}
    theirs = {name: metadata.version(name) for name in target.packages.values()}
    return {**own, "numpy": np.__version__, **theirs}


def _keep(folder: str, output: str, card: dict[str, Any]) -> None:
    """Moves everything to its place, the file that was asked for last: where it is, all is."""
    name, parent = os.path.basename(output), os.path.dirname(os.path.abspath(output))
    with open(os.path.join(folder, name + CARD), "w") as file:
        json.dump(card, file, indent=2, ensure_ascii=False)
    sync_tree(folder)
    for each in _last(sorted(os.listdir(folder)), name):
        os.replace(os.path.join(folder, each), os.path.join(parent, each))
    sync(parent)


def _last(names: Sequence[str], last: str) -> list[str]:
    return [*(name for name in names if name != last), last]
