"""Sums that come out the same, bit for bit, whatever the threads do."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop

_OPTION = "arithmetic_optimization"


@contextlib.contextmanager
def reproducible_sums() -> Iterator[None]:
    """Fixes the order in which TensorFlow adds gradients, in graphs that are traced in the body.

    TensorFlow's AddN reuses whichever input buffer happens to be free and begins its sum there. A
    sum of two numbers is unaffected; a sum of three can differ in its last bit. Two places make an
    AddN of three: a tensor used three times, whose gradients the tape adds, and the graph
    optimizer, which merges chains of additions. The first is told to add in pairs, by TensorFlow's
    own hook for it, which has no public name; the second is switched off. Both are as before
    afterwards.
    """
    before = tf.config.optimizer.get_experimental_options().get(_OPTION, True)
    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=_add_in_pairs))
    tf.config.optimizer.set_experimental_options({_OPTION: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_OPTION: before})
        pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace)


def _add_in_pairs(gradients):
    total = gradients[0]
    for gradient in gradients[1:]:
        total = backprop._aggregate_grads([total, gradient])
    return total
