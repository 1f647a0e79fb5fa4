"""MSBReg in TensorFlow/Keras: self-supervised pretraining of image encoders.

What a program may import stands in `__all__` below, for example

    from msbreg_tf import Config, train, load_encoder

and is imported at its first use, so that `import msbreg_tf` itself does not wait for TensorFlow.

Letters, used everywhere as METHOD.md and the paper use them:

    B  images per replica        K  views per image
    R  replicas                  F  encoder feature size (512 ResNet-18, 2048 ResNet-50)
    N  = B·R, the global batch   D  projection size

Views travel as one axis, `[B, K, H, W, 3]`; `[B·K, …]` lives only between one flatten and its
unflatten.
"""

import importlib as _importlib
import importlib.util as _util
import os as _os
import sys as _sys

# Read once, when TensorFlow is first imported, so it must happen here. oneDNN is off by default on
# AMD CPUs, where it makes a ResNet-18 training step about four times as fast.
_os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# From 2.16 on TensorFlow brings Keras 3; this package is written for Keras 2, there tf_keras.
# TensorFlow 2.15, which has Keras 2 itself, would look for it too, so only where it is.
if _util.find_spec("tf_keras") and _os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    if {"tensorflow", "keras"} <= _sys.modules.keys():
        raise ImportError(
            "TensorFlow has loaded Keras 3 already: import msbreg_tf before tensorflow, or set "
            "TF_USE_LEGACY_KERAS=1."
        )
    _os.environ["TF_USE_LEGACY_KERAS"] = "1"
# Its C++ side reports harmless things as errors at every start; real ones reach Python anyway.
_os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

_HOMES = {
    # A run, from its settings to its export.
    "Config": "run.config",
    "config_from_settings": "run.config",
    "train": "run.pretraining",
    "export_encoder": "evaluation.exporting",
    # The method.
    "MSBReg": "method.model",
    "LARS": "method.lars",
    "OutsideRateSGD": "method.momentum",
    "WarmupCosine": "method.schedules",
    "multiview_centroid_loss": "method.losses.centroid",
    "singular_value_loss": "method.losses.singular_value",
    "brownian_diffusive_loss": "method.losses.brownian",
    "next_view_loss": "method.losses.next_view",
    "uniformity_loss": "method.losses.uniformity",
    # Networks and views.
    "build_encoder": "networks.encoder",
    "build_projector": "networks.heads",
    "build_predictor": "networks.heads",
    "MultiViewAugmentation": "augment.multiview",
    # Settings, by room.
    "AugmentSettings": "augment.settings",
    "DataSettings": "data.settings",
    "NetworkSettings": "networks.settings",
    "ObjectiveSettings": "method.settings",
    "OptimizerSettings": "method.settings",
    "RunSettings": "run.settings",
    # An exported encoder, and how good its features are.
    "load_encoder": "evaluation.features.exported",
    "knn_accuracy": "evaluation.knn",
    "linear_probe": "evaluation.linear.probe",
    "measure_quality": "evaluation.quality",
    "rank_correlations": "evaluation.results.ranking",
    # Errors that end a run.
    "PreemptedError": "errors",
    "RunFailedError": "errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'msbreg_tf' has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"msbreg_tf.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]
