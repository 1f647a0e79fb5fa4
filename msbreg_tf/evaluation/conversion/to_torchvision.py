"""Weights for `torchvision.models.resnet18` and `resnet50`, as safetensors.

Written and verified by NumPy alone: no PyTorch is needed.
"""

from typing import TYPE_CHECKING, Any

from msbreg_tf.evaluation.conversion.names import architecture_of
from msbreg_tf.evaluation.conversion.target import Bar, Job, Run, Target
from msbreg_tf.networks.settings import IMAGENET_MEAN, IMAGENET_STD
from msbreg_tf.networks.torch_names import torchvision_weights

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder

# A NumPy twin in float32 is off by about 1e-6; a wrong epsilon in batch norm, the smallest mistake
# that was tried, by 2e-2 (ResNet-50 with random weights).
WEIGHTS_BAR = {"float32": Bar(1e-4, 0.99999)}


def _check(encoder: "ExportedEncoder", precision: str) -> None:
    architecture_of(torchvision_weights(encoder.weights()), "torchvision")


def _write(job: Job, path: str) -> None:
    from safetensors.numpy import save

    weights = torchvision_weights(job.encoder.weights())
    with open(path, "wb") as file:  # `save_file` would let nobody but its owner read it
        # What many readers look for: the layout is PyTorch's.
        file.write(save(weights, metadata={"format": "pt"}))


def _load(path: str) -> Run:
    from safetensors.numpy import load_file

    from msbreg_tf.evaluation.conversion.twin import pooled_features

    weights = load_file(path)
    return lambda images: pooled_features(weights, images / 255, IMAGENET_MEAN, IMAGENET_STD)


def weight_facts(job: Job, load: str) -> dict[str, Any]:
    """The facts of a file of weights, `load` being the lines that load it."""
    size = job.encoder.image_size
    weights = torchvision_weights(job.encoder.weights())
    return {
        "architecture": architecture_of(weights, "torchvision"),
        "tensors": len(weights),
        "preprocessing": (
            f"To be done before: shorter side to {size} pixels (bilinear, antialiased), central "
            f"square of {size}, RGB in 0–1, mean {list(IMAGENET_MEAN)}, standard deviation "
            f"{list(IMAGENET_STD)}."
        ),
        "output": f"float32 [batch, {job.encoder.feature_size}], before fc",
        "load": load.format(architecture=architecture_of(weights, "torchvision")),
    }


def _facts(job: Job) -> dict[str, Any]:
    return weight_facts(
        job,
        "model = torchvision.models.{architecture}(); model.fc = torch.nn.Identity(); "
        "model.load_state_dict(safetensors.torch.load_file(FILE)); model.eval()",
    )


TARGET = Target(
    what="weights for torchvision",
    suffix=".safetensors",
    runner="a NumPy twin of torchvision",
    bars=WEIGHTS_BAR,
    packages={"safetensors": "safetensors"},
    extra="",
    write=_write,
    load=_load,
    facts=_facts,
    check=_check,
    any_size=lambda precision: False,
)
