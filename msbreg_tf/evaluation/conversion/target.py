"""What a target of a conversion is. Nothing here imports TensorFlow."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from msbreg_tf.evaluation.conversion.samples import Samples
    from msbreg_tf.evaluation.features.exported import ExportedEncoder

Run = Callable[[np.ndarray], np.ndarray]  # float32 images [b, H, W, 3] in 0–255 → rows [b, F]


class Bar(NamedTuple):
    """How far a converted file may be from the export; beyond it the file is not kept.

    Attributes:
      difference: largest difference of a feature, as a part of the largest feature.
      cosine: lowest cosine between an image's two rows of features.
    """

    difference: float
    cosine: float


# Of what computes in float32: sums in another order differ by about 1e-6.
EXACT = {"float32": Bar(1e-5, 0.999999)}


class Job(NamedTuple):
    """What a target is given.

    Attributes:
      encoder: the loaded export.
      precision: of the numbers in the file; a key of the target's `bars`.
      samples: real images, for a precision that has to be fitted to some.
    """

    encoder: "ExportedEncoder"
    precision: str
    samples: "Samples"


class Target(NamedTuple):
    """A row of `TARGETS`.

    Attributes:
      what: the format, for messages.
      suffix: of its files.
      runner: what runs a file again, for messages.
      bars: {precision: bar}, the default precision first.
      packages: {name to import: distribution} that it needs beyond this package's own.
      extra: of this package, which brings them.
      write: writes the file, and companions beside it, to a path that ends in `suffix`.
      load: reads the file, and nothing else, and returns what runs it.
      facts: (job) → what a user of the file has to know, as plain JSON values for its card.
      check: (export, precision) refuses what the format has no place for, by a one-line ValueError.
      any_size: (precision) → whether images of any size may be given, as the export takes them.
      measures_knn: (precision) → whether the cost is reported in k-NN accuracy, too.
    """

    what: str
    suffix: str
    runner: str
    bars: Mapping[str, Bar]
    packages: Mapping[str, str]
    extra: str
    write: Callable[[Job, str], None]
    load: Callable[[str], Run]
    facts: Callable[[Job], dict[str, Any]]
    check: Callable[["ExportedEncoder", str], None] = lambda encoder, precision: None
    any_size: Callable[[str], bool] = lambda precision: True
    measures_knn: Callable[[str], bool] = lambda precision: False


def pixels_in(job: Job) -> dict[str, Any]:
    """The facts of a file with the export's own signature."""
    return {
        "input": "image: float32 [batch, height, width, 3], RGB in 0–255, any size",
        "output": f"embedding: float32 [batch, {job.encoder.feature_size}]",
        "preprocessing": "Inside: "
        + job.encoder.metadata.get("preprocessing", "as the export does it."),
    }
