"""torchvision's ResNet in evaluation mode, in NumPy: what the other side computes from a file.

Channels first, padding of k // 2 on every side, the stride in the 3×3 convolution of a bottleneck,
a max-pool padded with −∞, and 1e-5 in every batch norm (torchvision 0.29, `models/resnet.py`).
"""

from collections.abc import Sequence

import numpy as np

from msbreg_tf.evaluation.conversion.names import Weights

_EPSILON = 1e-5
_AT_ONCE = 4  # images; their patches at 224 px take about 250 MB


def pooled_features(
    weights: Weights, images: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Features before `fc`.

    Args:
      weights: by torchvision's names, of a resnet18 or a resnet50.
      images: float32 [b, H, W, 3].
      mean, std: of the pixels, three numbers each, in the images' unit.

    Returns:
      float32 [b, F].
    """
    pixels = ((images - np.float32(mean)) / np.float32(std)).transpose(0, 3, 1, 2)
    rows = [
        _forward(weights, pixels[start : start + _AT_ONCE])
        for start in range(0, len(pixels), _AT_ONCE)
    ]
    return np.concatenate(rows)


def _forward(weights: Weights, x: np.ndarray) -> np.ndarray:
    x = np.maximum(_norm(weights, _conv(weights, x, "conv1", 2), "bn1"), 0)
    x = _windows(_padded(x, 1, -np.inf), 3, 2).max(axis=(4, 5))
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in weights:
            x = _block(weights, x, f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
            block += 1
    return x.mean(axis=(2, 3))


def _block(weights: Weights, x: np.ndarray, name: str, stride: int) -> np.ndarray:
    is_bottleneck = f"{name}.conv3.weight" in weights
    convs, strided = (3, 2) if is_bottleneck else (2, 1)
    y = x
    for number in range(1, convs + 1):
        y = _conv(weights, y, f"{name}.conv{number}", stride if number == strided else 1)
        y = _norm(weights, y, f"{name}.bn{number}")
        y = np.maximum(y, 0) if number < convs else y
    if f"{name}.downsample.0.weight" in weights:
        x = _conv(weights, x, f"{name}.downsample.0", stride)
        x = _norm(weights, x, f"{name}.downsample.1")
    return np.maximum(x + y, 0)


def _conv(weights: Weights, x: np.ndarray, name: str, stride: int) -> np.ndarray:
    kernel = weights[f"{name}.weight"]  # [out, in, k, k]
    side = kernel.shape[2]
    patches = _windows(_padded(x, side // 2, 0.0), side, stride)  # [b, in, H', W', k, k]
    out = np.tensordot(patches, kernel, axes=([1, 4, 5], [1, 2, 3]))  # [b, H', W', out]
    return out.transpose(0, 3, 1, 2)


def _norm(weights: Weights, x: np.ndarray, name: str) -> np.ndarray:
    gamma, beta, mean, variance = (
        weights[f"{name}.{role}"][:, np.newaxis, np.newaxis]
        for role in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) * (gamma / np.sqrt(variance + np.float32(_EPSILON))) + beta


def _padded(x: np.ndarray, by: int, value: float) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), (by, by), (by, by)), constant_values=value)


def _windows(x: np.ndarray, side: int, stride: int) -> np.ndarray:
    """[b, C, H, W] → [b, C, H', W', side, side], a view."""
    view = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(2, 3))
    return view[:, :, ::stride, ::stride]
