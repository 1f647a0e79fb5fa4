"""Weights for timm's `resnet18` and `resnet50`, whose tensors have torchvision's names."""

from typing import TYPE_CHECKING, Any

from msbreg_tf.evaluation.conversion import to_torchvision
from msbreg_tf.evaluation.conversion.names import architecture_of
from msbreg_tf.evaluation.conversion.target import Job
from msbreg_tf.networks.torch_names import torchvision_weights

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder


def _check(encoder: "ExportedEncoder", precision: str) -> None:
    architecture_of(torchvision_weights(encoder.weights()), "timm")


def _facts(job: Job) -> dict[str, Any]:
    facts = to_torchvision.weight_facts(
        job, 'model = timm.create_model("{architecture}", num_classes=0, checkpoint_path=FILE)'
    )
    note = (
        "timm's own default_cfg of this name says bicubic and a crop of 0.95: take the "
        "preprocessing above instead. With a classifier (num_classes above 0) timm finds no fc."
    )
    return {**facts, "note": note}


TARGET = to_torchvision.TARGET._replace(
    what="weights for timm", runner="a NumPy twin of timm", facts=_facts, check=_check
)
