"""Fully connected nets of given widths, as in Szegedy et al. 2013 (FC100-100-10) and DeepFool (FC500-150-10)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from pinprick.models.blocks import Shape


def fully_connected(classes: int, shape: Shape, widths: Sequence[int]) -> nn.Module:
    """Linear layers of the given hidden ``widths`` (none: a linear classifier) with ReLU between them.

    Parameters
    ----------
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images; the net takes images of exactly this shape.
    widths : neurons of each hidden layer, 1 or more.

    Returns
    -------
    A module from images ``(N, C, H, W)`` to logits ``(N, classes)``; FC100-100-10 has 89 610 parameters for MNIST.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = prod(shape)
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
