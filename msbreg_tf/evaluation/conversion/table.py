"""The formats that `tools.convert` writes. Nothing here imports TensorFlow."""

from msbreg_tf.evaluation.conversion import (
    to_detectron2,
    to_onnx,
    to_openvino,
    to_tflite,
    to_timm,
    to_torchvision,
)

TARGETS = {
    "torchvision": to_torchvision.TARGET,
    "timm": to_timm.TARGET,
    "detectron2": to_detectron2.TARGET,
    "onnx": to_onnx.TARGET,
    "tflite": to_tflite.TARGET,
    "openvino": to_openvino.TARGET,
}
PRECISIONS = tuple(dict.fromkeys(name for target in TARGETS.values() for name in target.bars))
