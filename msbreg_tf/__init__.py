"""MSBReg in TensorFlow/Keras: self-supervised pretraining of image encoders.

Letters, used everywhere as METHOD.md and the paper use them:

    B  images per replica        K  views per image
    R  replicas                  F  encoder feature size (512 ResNet-18, 2048 ResNet-50)
    N  = B·R, the global batch   D  projection size

Views travel as one axis, `[B, K, H, W, 3]`; `[B·K, …]` lives only between one flatten and its
unflatten.
"""

import os as _os

# Read once, when TensorFlow is first imported, so it must happen here. oneDNN is off by default on
# AMD CPUs, where it makes a ResNet-18 training step about four times as fast.
_os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Its C++ side reports harmless things as errors at every start; real ones reach Python anyway.
_os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
