"""The race's network in PyTorch: torchvision's ResNet-18, any width, either stem."""

from collections.abc import Mapping
from typing import Any

import torch
from torchvision.models import resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as msbreg_tf.networks.settings has them


class ResNet18(resnet.ResNet):
    """Uint8 images [n, 3, S, S] → features [n, 8·width]; initial weights are torchvision's."""

    def __init__(self, network: Mapping[str, Any]):
        """Takes {"encoder_width": channels of the first stage, "stem": 'cifar' or 'imagenet'}."""
        super().__init__(resnet.BasicBlock, [2, 2, 2, 2])
        width = network["encoder_width"]
        kernel, stride = (3, 1) if network["stem"] == "cifar" else (7, 2)
        self.inplanes = width
        self.conv1 = torch.nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        if network["stem"] == "cifar":
            self.maxpool = torch.nn.Identity()
        for stage in range(4):
            channels, step = width * 2**stage, 1 if stage == 0 else 2
            layer = self._make_layer(resnet.BasicBlock, channels, 2, stride=step)
            setattr(self, f"layer{stage + 1}", layer)
        self.fc = torch.nn.Identity()
        self.size = 8 * width
        for module in self.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for name, values in (("mean", MEAN), ("std", STD)):
            tensor = 255 * torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images.float() - self.mean) / self.std
        if images.is_contiguous(memory_format=torch.channels_last):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return super().forward(pixels)
