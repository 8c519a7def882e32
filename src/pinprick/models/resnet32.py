"""ResNet-32 for CIFAR (He et al. 2015, section 4.2): 6n + 2 layers with n = 5."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pinprick.models.blocks import Shape


class Block(nn.Module):
    """Two 3 x 3 convolutions and the parameter-free shortcut (option A: stride and zero channels)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1 or self.extra:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return F.relu(x + y)


def resnet32(classes: int, shape: Shape) -> nn.Module:
    """16-3, then five blocks each of 16, 32/2 and 64/2 channels, global mean, one linear layer.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 8.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 0.46 M parameters for CIFAR-10.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    channels = 16
    for width in (16, 32, 64):
        for index in range(5):
            layers.append(Block(channels, width, 2 if index == 0 and width > 16 else 1))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
