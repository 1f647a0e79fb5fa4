"""torchvision's names and layouts of a ResNet's tensors, as ours, and ours as theirs.

Our layers have torchvision's names, so this is renaming and, of kernels, a transpose between
[k, k, in, out] and [out, in, k, k].
"""

import re
from collections.abc import Mapping

import numpy as np

_ENCODER = re.compile(
    r"(?P<layer>(?:layer\d\.\d+\.)?(?:conv\d|bn\d|downsample\.\d))\."
    r"(?P<leaf>weight|bias|running_mean|running_var)"
)
_OF_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_THEIRS = {"kernel": "weight", **_OF_NORM}
_OURS = {theirs: ours for ours, theirs in _OF_NORM.items()}
_COUNTER = "num_batches_tracked"


def torchvision_weights(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames variables: 'layer1.0.conv1/kernel:0' → 'layer1.0.conv1.weight', and so on.

    Args:
      variables: {name: array} of an encoder, as `ExportedEncoder.weights` gives them.

    Returns:
      {name: contiguous float32 array}, sorted by name. A variable whose part torchvision does not
      know keeps its name.
    """
    renamed = {}
    for name, value in variables.items():
        layer, _, role = name.partition(":")[0].rpartition("/")
        value = value.transpose(3, 2, 0, 1) if role == "kernel" and value.ndim == 4 else value
        renamed[f"{layer}.{_THEIRS.get(role, role)}"] = np.ascontiguousarray(value, np.float32)
    return dict(sorted(renamed.items()))


def from_torch(
    tensors: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """Renames and transposes the tensors of a torchvision or timm ResNet.

    'layer1.0.conv1.weight', OIHW → 'layer1.0.conv1/kernel:0', HWIO; of batch norm, weight → gamma,
    bias → beta, running_mean → moving_mean, running_var → moving_variance. A prefix of all names,
    such as 'module.', is dropped.

    Returns:
      {our name: array}; {our name: name in the file}; and names that are not of the encoder: the
      classifier, counters, heads. A tensor inside its layers that we do not know stays among the
      first, so that no other network is taken for ours.

    Raises:
      ValueError: there are several encoders in it.
    """
    prefix = _prefix(tensors)
    ours, theirs, unused = {}, {}, []
    for name, array in tensors.items():
        inner = name[len(prefix) :] if name.startswith(prefix) else ""
        if inner.endswith(_COUNTER) or not re.match(r"(conv|bn|layer)\d", inner):
            unused.append(name)
            continue
        found = _ENCODER.fullmatch(inner)
        new, array = _renamed(found, array) if found else (inner, array)
        ours[new], theirs[new] = array, name
    return ours, theirs, sorted(unused)


def _renamed(found: re.Match, array: np.ndarray) -> tuple[str, np.ndarray]:
    layer, leaf = found["layer"], found["leaf"]
    if leaf == "weight" and array.ndim == 4:
        return f"{layer}/kernel:0", np.ascontiguousarray(array.transpose(2, 3, 1, 0))
    return f"{layer}/{_OURS[leaf]}:0", array


def _prefix(tensors: Mapping[str, np.ndarray]) -> str:
    """What stands before the encoder's names: '' or, for example, 'module.'."""
    first, inside = "conv1.weight", "layer1.0.conv1.weight"
    prefixes = [name[: -len(inside)] for name in tensors if name.endswith(inside)]
    prefixes = sorted(prefix for prefix in prefixes if f"{prefix}{first}" in tensors)
    if len(prefixes) > 1:
        raise ValueError(
            f"there are several encoders in it, {', '.join(prefixes[:4])}. Save one of them alone."
        )
    return prefixes[0] if prefixes else ""
