"""Finding and preparing a TFDS data set, with errors that say what to do."""

import difflib
import pathlib
from typing import Any, Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from msbreg_tf.errors import one_line

_LONGEST = 400  # characters of what TFDS says


def open_builder(name: str, data_dir: Optional[str]) -> tfds.core.DatasetBuilder:
    """Looks `name` up and prepares it, which downloads it where that is needed and possible.

    Raises:
      ValueError: unknown name; no images; cannot be prepared here.
    """
    builder = _find_builder(name, data_dir)
    feature = dict(builder.info.features).get("image")
    if not isinstance(feature, tfds.features.Image):
        raise ValueError(
            f"--dataset={name}: it has no feature 'image', only "
            f"{', '.join(builder.info.features)}. Choose a data set of images."
        )
    if feature.np_dtype not in (np.uint8, np.uint16):
        raise ValueError(f"--dataset={name}: images of {feature.np_dtype}. Choose 8 or 16 bits.")
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise ValueError(_how_to_prepare(name, builder, error)) from error
    return builder


def encoded_examples(
    builder: tfds.core.DatasetBuilder, split: str, with_labels: bool = False, flag: str = "split"
) -> tf.data.Dataset:
    """Examples in the order of the files, images still encoded.

    Args:
      builder: prepared.
      split: TFDS expression, 'train+unlabelled' or 'train[:10%]'.
      with_labels: yield labels too.
      flag: how an error calls the split.

    Returns:
      Data set of {"image": string scalar} and, if asked for, "label": int64 scalar.

    Raises:
      ValueError: unknown or malformed split.
    """
    features = {"image": True, "label": True} if with_labels else {"image": True}
    return partial_examples(builder, split, features, called=f"--{flag}={split}")


def partial_examples(
    builder: tfds.core.DatasetBuilder, split: str, features: dict[str, Any], *, called: str
) -> tf.data.Dataset:
    """Examples with these features only, in the order of the files, images still encoded.

    Args:
      builder: prepared.
      split: TFDS expression.
      features: as for `tfds.decode.PartialDecoding`.
      called: how an error names the split.

    Raises:
      ValueError: unknown or malformed split.
    """
    images = {"image": tfds.decode.SkipDecoding()} if "image" in features else None
    try:
        return builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(features, decoders=images),
            read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
            shuffle_files=False,
        )
    except (ValueError, KeyError, tfds.core.DatasetNotFoundError) as error:
        raise ValueError(
            f"{called}: {one_line(error, _LONGEST)} --dataset={builder.name} has the splits "
            f"{', '.join(builder.info.splits)}; join them by +, cut them by [:10%]."
        ) from error


def _find_builder(name: str, data_dir: Optional[str]) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        from msbreg_tf.data.sources.table import SOURCES  # late: the table imports this file

        close = difflib.get_close_matches(name, [*SOURCES, *tfds.list_builders()], n=5)
        hint = f"Did you mean {' or '.join(close)}?" if close else "See tfds.list_builders()."
        raise ValueError(f"--dataset={name}: TFDS has no such data set. {hint}") from error
    except Exception as error:  # a wrong config or version, a name that is no name
        raise ValueError(
            f"--dataset={name}: {one_line(error, _LONGEST)} Check the name."
        ) from error


def _how_to_prepare(name: str, builder: tfds.core.DatasetBuilder, error: Exception) -> str:
    root = pathlib.Path(builder.data_path)
    for _ in builder.info.full_name.split("/"):
        root = root.parent
    if instructions := getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None):
        manual_dir = root / "downloads" / "manual"
        return (
            f"--dataset={name}: not prepared in {root}, and TFDS cannot download it. Put its files "
            f"into {manual_dir} and start again: {' '.join(instructions.split())} "
            f"TFDS said: {one_line(error, _LONGEST)}"
        )
    return (
        f"--dataset={name}: not prepared in {root}, and preparing it failed with "
        f"{type(error).__name__}: {one_line(error, _LONGEST)} Prepare it where there is internet "
        f"(tfds build {name}), copy it and give its folder as --data_dir, or use --dataset=sample."
    )
