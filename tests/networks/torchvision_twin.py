"""torchvision's ResNet forward pass (evaluation mode) in NumPy, with PyTorch's semantics.

Slow and literal: channels first, output sizes floor((n + 2·padding − kernel) / stride) + 1,
max-pool padded with −∞. Weights are looked up by torchvision's names.
"""

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def windows(x, kernel, stride):
    """[B, C, H, W] → [B, C, H', W', kernel, kernel]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def pad(x, padding, value):
    return np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=value)


class Twin:
    """Forward pass with the weights of a Keras encoder."""

    def __init__(self, model, blocks, convs, stem):
        self.model, self.blocks, self.convs, self.stem = model, blocks, convs, stem

    def __call__(self, images):
        x = ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
        if self.stem == "imagenet":
            x = np.maximum(self.bn(self.conv(x, "conv1", 2, 3), "bn1"), 0)
            x = windows(pad(x, 1, -np.inf), 3, 2).max(axis=(4, 5))
        else:
            x = np.maximum(self.bn(self.conv(x, "conv1", 1, 1), "bn1"), 0)
        for stage, count in enumerate(self.blocks, start=1):
            for block in range(count):
                x = self.block(x, f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
        return x.mean(axis=(2, 3))

    def block(self, x, name, stride):
        y = x
        for index, (kernel, strided) in enumerate(self.convs, start=1):
            y = self.conv(y, f"{name}.conv{index}", stride if strided else 1, kernel // 2)
            y = self.bn(y, f"{name}.bn{index}")
            y = y if index == len(self.convs) else np.maximum(y, 0)
        if f"{name}.downsample.0" in {layer.name for layer in self.model.layers}:
            x = self.bn(self.conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
        return np.maximum(x + y, 0)

    def conv(self, x, name, stride, padding):
        (kernel,) = self.model.get_layer(name).get_weights()  # [k, k, in, out]
        patches = windows(pad(x, padding, 0.0), kernel.shape[0], stride)
        return np.einsum("bchwij,ijco->bohw", patches, kernel, optimize=True)

    def bn(self, x, name):
        gamma, beta, mean, variance = (
            w[:, np.newaxis, np.newaxis] for w in self.model.get_layer(name).get_weights()
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def resnet18(model, stem="imagenet"):
    return Twin(model, (2, 2, 2, 2), [(3, True), (3, False)], stem)


def resnet50(model, stem="imagenet"):
    return Twin(model, (3, 4, 6, 3), [(1, False), (3, True), (1, False)], stem)
