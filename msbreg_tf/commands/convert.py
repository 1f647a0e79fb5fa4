"""`python -m tools.convert`: an export in the format of another runtime, verified."""

import dataclasses
import importlib.util
import os
from typing import Any, Optional

from msbreg_tf.commands.cli import Command
from msbreg_tf.commands.evaluate import load_export
from msbreg_tf.commands.paths import check_export, check_images, check_new_file
from msbreg_tf.evaluation.conversion.table import PRECISIONS, TARGETS
from msbreg_tf.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class ConvertSettings(Settings):
    """The export, the format, and the file."""

    saved_model: Optional[str] = setting(None, "SavedModel to convert: a run's export/<step>.")
    to: Optional[str] = setting(None, "Format to convert to.", choices=TARGETS)
    output: Optional[str] = setting(
        None,
        "File to write: "
        + ", ".join(f"{target.suffix} for {name}" for name, target in TARGETS.items())
        + ". Beside it <output>.json says what it takes and how it was verified.",
    )
    precision: str = setting(
        "float32", "Of the numbers in the file; TFLite alone has others.", choices=PRECISIONS
    )
    data_dir: Optional[str] = setting(
        None,
        "Folder of images to verify the file on, and to calibrate int8 by (default: the shipped "
        "ones).",
    )
    images: int = setting(16, "Images to verify the file on.", low=1)
    knn_images: int = setting(
        1000,
        "Images of either split of the shipped sample for the k-NN accuracy that int8 costs.",
        low=100,
        high=5000,
    )


def _run(own: ConvertSettings) -> None:
    output = _checked_output(own)

    import tensorflow as tf

    # Both sides compute on the CPU: a GPU's float32 products may be of 10 bits.
    tf.config.set_visible_devices([], "GPU")
    from msbreg_tf.evaluation.conversion.convert import Order, convert, is_complete

    encoder = load_export(own.saved_model)
    order = Order(own.to, own.precision, output, own.data_dir, own.images, own.knn_images)
    if is_complete(encoder, order):
        print(f"{output} is complete already: same encoder, same format.")
        return
    print(_shown(convert(encoder, order), output))


def _checked_output(own: ConvertSettings) -> str:
    """The file to write; all that can be known before TensorFlow is imported is checked.

    Raises:
      ValueError: a flag is missing or does not fit the others, or a package is missing.
    """
    check_export(own.saved_model)
    for name in ("to", "output"):
        if not getattr(own, name):
            raise ValueError(f"--{name} is missing. See --help.")
    target = TARGETS[own.to]
    if own.precision not in target.bars:
        raise ValueError(
            f"--precision={own.precision}: --to={own.to} has {', '.join(target.bars)} only."
        )
    if not own.output.endswith(target.suffix):
        raise ValueError(
            f"--output={own.output}: expected a name that ends in {target.suffix}, as "
            f"{target.what} has it."
        )
    check_new_file("output", own.output)
    if own.data_dir is not None:
        check_images("folder", own.data_dir)
    for module, distribution in target.packages.items():
        if importlib.util.find_spec(module) is None:
            remedy = f"'msbreg-tf[{target.extra}]'" if target.extra else distribution
            raise ValueError(
                f"--to={own.to}: the package {distribution} is missing. Install it: "
                f"pip install {remedy}."
            )
    return os.path.expanduser(own.output)


def _shown(card: dict[str, Any], output: str) -> str:
    """A card as the lines that a person is shown."""
    verified = card["verified"]
    sizes = ", ".join(f"{height}×{width}" for height, width in verified["sizes"])
    megabytes = sum(file["bytes"] for file in card["files"].values()) / 1e6
    lines = [
        f"Wrote {output}: {megabytes:.1f} MB, {card['order']['precision']}.",
        f"Verified by {verified['by']} on {verified['images']} images of {verified['from']} "
        f"({sizes}): largest difference {verified['largest_relative_difference']:.1e} of the "
        f"largest feature, lowest cosine {verified['lowest_cosine']:.6f}.",
    ]
    if "tensors" in card:
        lines.insert(1, f"It holds {card['architecture']}, {card['tensors']} tensors.")
    if "knn" in card:
        knn = card["knn"]
        lines.append(
            f"{knn['k']}-NN on the shipped sample: {knn['file_top1']:.2f} %, the export "
            f"{knn['export_top1']:.2f} % ({knn['test_images']:,} images, neighbours among "
            f"{knn['train_images']:,})."
        )
    lines += [f"Note: {card['note']}"] if "note" in card else []
    return "\n".join([*lines, f"{output}.json says what it takes."])


COMMAND = Command((ConvertSettings,), _run)
