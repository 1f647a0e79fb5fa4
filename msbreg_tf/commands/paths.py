"""Whether the paths that a command was given can work, before TensorFlow is imported."""

import os
from typing import Optional

from msbreg_tf.files.exports import hint
from msbreg_tf.files.tensors.table import check_file, format_of

_OF_FILES = ("folder", "imagenet100")  # data sets that are a folder of their user's


def check_images(dataset: str, data_dir: Optional[str]) -> None:
    """Checks that a folder of images is there, where the data set is one.

    Raises:
      ValueError: none is named, or there is none.
    """
    if dataset == "folder" and not data_dir:
        raise ValueError("--data_dir is missing: --dataset=folder needs --data_dir=PATH.")
    if dataset in _OF_FILES and data_dir and not os.path.isdir(os.path.expanduser(data_dir)):
        raise ValueError(f"--data_dir={data_dir}: no such folder. Give a folder of images.")


def check_export(saved_model: Optional[str], flag: str = "saved_model") -> None:
    """Checks that there is an export.

    Raises:
      ValueError: none is named, or there is none.
    """
    if not saved_model:
        raise ValueError(
            f"--{flag} is missing: give an export, for example "
            f"--{flag}=runs/quickstart/export/STEP."
        )
    path = os.path.expanduser(saved_model)
    if os.path.isfile(path):
        raise ValueError(
            f"--{flag}={saved_model}: it is a file. Give the folder that it is in, a run's "
            "export/<step>."
        )
    if not os.path.isdir(path):
        raise ValueError(f"--{flag}={saved_model}: no such folder. {hint(saved_model)}")


def check_start(path: str, flag: str) -> None:
    """Checks that there is an export, or a file of a format that weights are read from.

    Raises:
      ValueError: there is none.
    """
    if os.path.isfile(os.path.expanduser(path)) or format_of(path):
        check_file(path, flag)
    else:
        check_export(path, flag)


def check_new_file(flag: str, path: str) -> None:
    """Checks that a file can be made or continued, as far as that can be known before.

    Raises:
      ValueError: it is a folder, or its folder can't be written.
    """
    target = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(target):
        raise ValueError(f"--{flag}={path}: it is a folder. Name a file.")
    folder = os.path.dirname(target)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    existing = [target] if os.path.exists(target) else []
    for place in (folder, *existing):
        if not os.access(place, os.W_OK) or (place == folder and not os.path.isdir(folder)):
            raise ValueError(f"--{flag}={path}: {place} can't be written. Name another file.")
