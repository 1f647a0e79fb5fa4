"""The terms of the objective, one per file: pure functions of float tensors, each a scalar.

Their weighted sum, the choice of what is regularised and the global batch under several replicas
are in `objective.py`. Every term computes in float32 or better, whatever the dtype of its input,
returns float32, and turns a NaN in its input into a NaN loss, so that a guard can see it.
"""

from msbreg_tf.method.losses.brownian import brownian_diffusive_loss, brownian_directions
from msbreg_tf.method.losses.centroid import multiview_centroid_loss
from msbreg_tf.method.losses.next_view import next_view_loss
from msbreg_tf.method.losses.singular_value import singular_value_loss
from msbreg_tf.method.losses.uniformity import uniformity_loss

__all__ = [
    "brownian_diffusive_loss",
    "brownian_directions",
    "multiview_centroid_loss",
    "next_view_loss",
    "singular_value_loss",
    "uniformity_loss",
]
