"""Network in Network (Lin, Chen, Yan 2013) as in the one pixel paper (table 2), with batch norm added."""

from __future__ import annotations

from torch import nn

from pinprick.models.blocks import Shape, conv_bn_relu


def nin(classes: int, shape: Shape) -> nn.Module:
    """192-5, 160-1, 96-1, max 3/2, 192-5, 192-1, 192-1, average 3/2, 192-3, 192-1, classes-1, global mean.

    The usual net has dropout after the pools in place of batch norm.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 8.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 0.97 M parameters for CIFAR-10.
    """
    return nn.Sequential(
        *conv_bn_relu(shape[0], 192, 5),
        *conv_bn_relu(192, 160, 1),
        *conv_bn_relu(160, 96, 1),
        nn.MaxPool2d(3, stride=2, padding=1),
        *conv_bn_relu(96, 192, 5),
        *conv_bn_relu(192, 192, 1),
        *conv_bn_relu(192, 192, 1),
        nn.AvgPool2d(3, stride=2, padding=1),
        *conv_bn_relu(192, 192, 3),
        *conv_bn_relu(192, 192, 1),
        nn.Conv2d(192, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
