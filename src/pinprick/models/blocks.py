"""Pieces that several networks share."""

from __future__ import annotations

from torch import nn

Shape = tuple[int, int, int]
"""Channels, height, width of one image."""


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution with "same" padding, batch norm, ReLU; no bias in the convolution, the norm has one.

    Parameters
    ----------
    inputs, outputs : channels before and after.
    kernel : odd side of the kernel, in pixels.
    stride : step of the convolution, in pixels.
    """
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
