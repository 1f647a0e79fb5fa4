"""How good features are: arrays in, named numbers out."""

from msbreg_tf.evaluation.features import extract_features
from msbreg_tf.evaluation.knn import knn_accuracy

__all__ = ["extract_features", "knn_accuracy"]
