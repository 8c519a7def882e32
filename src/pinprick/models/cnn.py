"""A small convolutional net for small images, such as scikit-learn's 8 x 8 digits."""

from __future__ import annotations

from torch import nn

from pinprick.models.blocks import Shape, conv_bn_relu


def cnn(classes: int, shape: Shape) -> nn.Module:
    """32-3, 64-3/2, 64-3, 2 x 2 mean, one linear layer.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 4.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 58 thousand parameters for digits.
    """
    return nn.Sequential(
        *conv_bn_relu(shape[0], 32, 3),
        *conv_bn_relu(32, 64, 3, stride=2),
        *conv_bn_relu(64, 64, 3),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4, classes),
    )
