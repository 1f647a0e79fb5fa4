"""Weights for Detectron2's ResNets (C4 and FPN backbones), as the pickle that it loads.

Written and verified by NumPy alone: neither Detectron2 nor PyTorch is needed.
"""

import pickle
from typing import TYPE_CHECKING, Any

from msbreg_tf.evaluation.conversion.names import (
    architecture_of,
    from_detectron2,
    to_detectron2,
)
from msbreg_tf.evaluation.conversion.target import Job, Run, Target
from msbreg_tf.evaluation.conversion.to_torchvision import WEIGHTS_BAR, weight_facts
from msbreg_tf.networks.settings import IMAGENET_MEAN, IMAGENET_STD
from msbreg_tf.networks.torch_names import torchvision_weights

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder

PIXEL_MEAN = [round(255 * mean, 3) for mean in IMAGENET_MEAN]
PIXEL_STD = [round(255 * std, 3) for std in IMAGENET_STD]
_RESNET18 = (
    "ResNet-18 has no C4 model in Detectron2, whose box head is made of bottlenecks: use FPN, with "
    "MODEL.RESNETS.RES2_OUT_CHANNELS 64."
)


def _check(encoder: "ExportedEncoder", precision: str) -> None:
    architecture_of(torchvision_weights(encoder.weights()), "detectron2")


def _write(job: Job, path: str) -> None:
    weights = torchvision_weights(job.encoder.weights())
    content = {
        "model": {to_detectron2(name): value for name, value in weights.items()},
        "__author__": "msbreg_tf",
        # Detectron2 then finds 'res2.…' under whatever prefix the model has.
        "matching_heuristics": True,
    }
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=4)


def _load(path: str) -> Run:
    from msbreg_tf.evaluation.conversion.twin import pooled_features

    with open(path, "rb") as file:  # ours, written a moment ago
        model = pickle.load(file)["model"]
    weights = {from_detectron2(name): value for name, value in model.items()}
    return lambda images: pooled_features(weights, images, PIXEL_MEAN, PIXEL_STD)


def _facts(job: Job) -> dict[str, Any]:
    facts = weight_facts(job, "MODEL.WEIGHTS: FILE")
    depth = int(facts["architecture"].removeprefix("resnet"))
    facts["config"] = {
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.PIXEL_MEAN": PIXEL_MEAN,
        "MODEL.PIXEL_STD": PIXEL_STD,
        "INPUT.FORMAT": "RGB",
        **({"MODEL.RESNETS.RES2_OUT_CHANNELS": 64} if depth == 18 else {}),
    }
    facts["preprocessing"] = "By Detectron2, if its configuration is the one below."
    return {**facts, **({"note": _RESNET18} if depth == 18 else {})}


TARGET = Target(
    what="weights for Detectron2",
    suffix=".pkl",
    runner="a NumPy twin of Detectron2",
    bars=WEIGHTS_BAR,
    packages={},
    extra="",
    write=_write,
    load=_load,
    facts=_facts,
    check=_check,
    any_size=lambda precision: False,
)
