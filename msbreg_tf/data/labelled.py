"""Labelled images as arrays, for k-NN during training and for the quickstart."""

from typing import Optional

import numpy as np
import tensorflow as tf
from absl import logging

from msbreg_tf.data.decoding import decode_image
from msbreg_tf.data.folder import read_and_decode
from msbreg_tf.data.imagenet100 import labelled_paths, split_folder
from msbreg_tf.data.resizing import resize_and_crop
from msbreg_tf.data.sample import load_sample
from msbreg_tf.data.tfds_source import labelled_examples


def labelled_images(
    dataset: str,
    split: str,
    data_dir: Optional[str],
    image_size: int,
    limit: Optional[int] = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Loads a labelled split.

    It holds everything in memory: 3 · S² bytes an image (STL-10's test split at 96 px: 221 MB;
    ImageNet's validation split at 224 px: 7.5 GB). Use `limit` where that is too much.

    Args:
      dataset: as --dataset.
      split: in the notation of --split.
      data_dir: as --data_dir.
      image_size: side S; the shorter side is resized to it, then the centre is cut out.
      limit: load at most this many: the first of a TFDS split, evenly spaced ones of a folder that
        is sorted by class.

    Returns:
      images, uint8 [n, S, S, 3], and labels, int64 [n]. Broken files of a folder are left out.

    Raises:
      ValueError: no such split, or no labels.
    """
    images = _decoded(dataset, split, data_dir, limit)
    if limit is not None:
        images = images.take(limit)
    resized = images.map(
        lambda image, label: (resize_and_crop(image, image_size), label),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    batches = list(resized.batch(256).as_numpy_iterator())
    if not batches:
        raise ValueError(f"--dataset={dataset}: split {split} has no images. Choose another.")
    pixels, labels = (np.concatenate(column) for column in zip(*batches))
    if labels.min() < 0:
        raise ValueError(
            f"--dataset={dataset}: split {split} has images without labels. "
            "Choose a labelled split with --knn_train_split and --knn_test_split."
        )
    return pixels, labels.astype(np.int64)


def _decoded(
    dataset: str, split: str, data_dir: Optional[str], limit: Optional[int]
) -> tf.data.Dataset:
    """(uint8 [H, W, 3], label) in a fixed order."""
    if dataset == "folder":
        raise ValueError(
            "--dataset=folder: its images have no labels, and k-NN needs them. Use --knn_every=0."
        )
    if dataset == "sample":
        return tf.data.Dataset.from_tensor_slices(load_sample(split))
    if dataset == "imagenet100" and (folder := split_folder(data_dir, split)):
        return _decoded_files(*labelled_paths(folder), limit)
    examples = labelled_examples(dataset, split, data_dir)
    return _map_images(examples, decode_image)


def _decoded_files(paths: list[str], labels: list[int], limit: Optional[int]) -> tf.data.Dataset:
    count = len(paths) if limit is None else min(limit, len(paths))
    chosen = np.arange(count) * len(paths) // max(count, 1)
    columns = (np.asarray(paths)[chosen], np.asarray(labels)[chosen])
    files = tf.data.Dataset.from_tensor_slices(columns)
    logging.info("Reading %d labelled image files.", count)
    # Unlike in training, nothing takes a broken file's place: it would have another label.
    return _map_images(files, read_and_decode).ignore_errors(log_warning=True)


def _map_images(pairs: tf.data.Dataset, function) -> tf.data.Dataset:
    return pairs.map(
        lambda image, label: (function(image), label),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
