"""VGG16 (Simonyan, Zisserman 2014) at CIFAR size: 13 convolutions and a small head, with batch norm added."""

from __future__ import annotations

from torch import nn

from pinprick.models.blocks import Shape, conv_bn_relu

_PLAN = (64, 64, "max", 128, 128, "max", 256, 256, 256, "max", 512, 512, 512, "max", 512, 512, 512)


def vgg16(classes: int, shape: Shape) -> nn.Module:
    """The usual 13 convolutions, four max pools between them, then a mean over what is left and one linear layer.

    The one pixel paper's net has two hidden fully connected layers in the head; one suffices with batch norm.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 16.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 14.7 M parameters for CIFAR-10.
    """
    layers: list[nn.Module] = []
    channels = shape[0]
    for step in _PLAN:
        if isinstance(step, int):
            layers += conv_bn_relu(channels, step, 3)
            channels = step
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
