"""Sums that come out the same, bit for bit, whatever the threads do."""

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop


def make_sums_reproducible() -> None:
    """Fixes the order in which TensorFlow adds gradients; a second call changes nothing.

    TensorFlow's AddN reuses whichever input buffer happens to be free and begins its sum there. Of
    two numbers the sum does not depend on that, of three it does, in the last bit. Two places make
    an AddN of three: a tensor used three times, whose gradients the tape adds, and the graph
    optimizer, which merges chains of additions. The first is told to add in pairs, by TensorFlow's
    own hook for it, which has no public name; the second is switched off.
    """
    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=_add_in_pairs))
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def _add_in_pairs(gradients):
    total = gradients[0]
    for gradient in gradients[1:]:
        total = backprop._aggregate_grads([total, gradient])
    return total
