"""LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, for MNIST (1 x 28 x 28) and CIFAR (3 x 32 x 32)."""

from __future__ import annotations

from torch import nn

from pinprick.models.blocks import Shape


def lenet(classes: int, shape: Shape) -> nn.Module:
    """6-5, max 2, 16-5, max 2, fully connected 120, 84, classes.

    The first convolution pads images of a side under 32 by 2, so 28 x 28 becomes 32 x 32, as in the paper.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; H, W >= 16, and the net takes images of exactly this shape.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; 61 706 parameters for MNIST.
    """
    channels, height, width = shape
    padding = 2 if min(height, width) < 32 else 0

    def left(size: int) -> int:
        return ((size + 2 * padding - 4) // 2 - 4) // 2

    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * left(height) * left(width), 120),
        nn.ReLU(inplace=True),
        nn.Linear(120, 84),
        nn.ReLU(inplace=True),
        nn.Linear(84, classes),
    )
