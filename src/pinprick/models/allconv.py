"""The All Convolutional Net of the one pixel paper (Su, Vargas, Sakurai 2017, table 1), with batch norm added."""

from __future__ import annotations

from torch import nn

from pinprick.models.blocks import Shape, conv_bn_relu


def allconv(classes: int, shape: Shape) -> nn.Module:
    """Channels-kernel/stride: 96-3, 96-3, 96-3/2, 192-3, 192-3, 192-3/2, 192-3, 192-1, classes-1, global mean.

    The paper's net has dropout in place of batch norm.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 8.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 1.37 M parameters for CIFAR-10.
    """
    return nn.Sequential(
        *conv_bn_relu(shape[0], 96, 3),
        *conv_bn_relu(96, 96, 3),
        *conv_bn_relu(96, 96, 3, stride=2),
        *conv_bn_relu(96, 192, 3),
        *conv_bn_relu(192, 192, 3),
        *conv_bn_relu(192, 192, 3, stride=2),
        *conv_bn_relu(192, 192, 3),
        *conv_bn_relu(192, 192, 1),
        nn.Conv2d(192, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
