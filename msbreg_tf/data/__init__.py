"""Images to train on and to evaluate with: sources, and the pipelines that read them."""

from msbreg_tf.data.labelled import labelled_images
from msbreg_tf.data.opening import open_source
from msbreg_tf.data.probe import probe_views
from msbreg_tf.data.source import Source
from msbreg_tf.data.views import ViewRecipe, steps_per_epoch, view_batches

__all__ = [
    "Source",
    "ViewRecipe",
    "labelled_images",
    "open_source",
    "probe_views",
    "steps_per_epoch",
    "view_batches",
]
