"""SqueezeNet v1.0 (Iandola et al. 2016) for ImageNet, laid out as in Caffe's weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pinprick.models.blocks import Shape


class Fire(nn.Module):
    """A 1 x 1 squeeze, then 1 x 1 and 3 x 3 expansions side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], dim=1)


class SqueezeNet(nn.Module):
    """``(N, 3, 227, 227)`` to logits ``(N, classes)``; the last ReLU makes them non-negative, as published."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 96, 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.fire2, self.fire3, self.fire4 = Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128)
        self.fire5, self.fire6 = Fire(256, 32, 128), Fire(256, 48, 192)
        self.fire7, self.fire8, self.fire9 = Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)
        self.conv_final = nn.Conv2d(512, classes, 1, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        x = F.relu(self.conv_final(self.fire9(x)))
        return x.mean(dim=(2, 3))


def squeezenet(classes: int, shape: Shape) -> nn.Module:
    """SqueezeNet v1.0, laid out as :class:`SqueezeNet`; its published weights take 227 x 227 pixels, BGR.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 32.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 1.25 M parameters for ImageNet.
    """
    return SqueezeNet(classes, shape[0])
