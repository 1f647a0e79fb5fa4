"""Labelled splits one at a time, as most tests want them."""

from msbreg_tf.data.labelled.arrays import labelled_images
from msbreg_tf.data.sources.table import labelled_splits


def labelled_split(dataset, split, data_dir, limit=None, flag="split"):
    """The one split, not decoded."""
    [opened] = labelled_splits(dataset, {flag: split}, data_dir, limit)
    return opened


def images_of(dataset, split, data_dir, image_size, limit=None):
    """Its images and labels."""
    return labelled_images(labelled_split(dataset, split, data_dir, limit), image_size)
