"""The protocols that `commands/evaluate.py` runs. Nothing here imports TensorFlow."""

from msbreg_tf.evaluation.protocols import finetune, geometry, knn, linear, svm

PROTOCOLS = {
    "knn": knn.PROTOCOL,
    "linear": linear.PROTOCOL,
    "finetune": finetune.PROTOCOL,
    "svm": svm.PROTOCOL,
    "geometry": geometry.PROTOCOL,
}
