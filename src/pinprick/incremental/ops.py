"""What a layer does to a difference: the operations that are carried out on windows, as plain data.

``D`` is what a candidate's feature map has on top of its base image's, on the positions where the two may differ.
Linear operations map ``D`` alone; the others need the base's values at these positions as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

Pair = tuple[int, int]
"""Along rows, along columns."""


@dataclass(frozen=True)
class Field:
    """What output row ``i`` reads on an axis: input rows ``i * stride - padding + t * dilation``, ``0 <= t < kernel``.

    ``padding`` is that before the first row; what lies outside of the map is not read.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def taps(self) -> int:
        """Positions that an output reads where the map has no end."""
        return self.kernel[0] * self.kernel[1]

    @property
    def same(self) -> bool:
        """Whether each output reads the input at its own place and nothing else."""
        return self == Field()


@dataclass(frozen=True)
class Op:
    """One step; :attr:`field` says which positions of its inputs an output position reads."""

    @property
    def field(self) -> Field:
        """By default each output reads the inputs at its own place."""
        return Field()


@dataclass(frozen=True)
class Input(Op):
    """The images, ``(C, H, W)`` in [0, 1]."""


@dataclass(frozen=True)
class Reading(Op):
    """A step whose outputs read several positions, or other ones than their own."""

    reads: Field

    @property
    def field(self) -> Field:
        return self.reads


@dataclass(frozen=True)
class Conv(Reading):
    """A convolution with zero padding; ``weight (outputs, inputs / groups, kh, kw)``. The bias plays no part."""

    weight: torch.Tensor
    groups: int = 1


@dataclass(frozen=True)
class Affine(Op):
    """``scale (C,)`` times the channels, taken in ``order`` where that is given; the shift plays no part."""

    scale: torch.Tensor
    order: torch.Tensor | None = None


@dataclass(frozen=True)
class Pointwise(Op):
    """The same function of every value: ``f(A + D) - f(A)``. ``relu`` says that it is that of ReLU."""

    function: Callable[[torch.Tensor], torch.Tensor]
    relu: bool = False


@dataclass(frozen=True)
class Same(Op):
    """Hands on its input: identity, dropout in evaluation mode, a constant added."""


@dataclass(frozen=True)
class Sum(Op):
    """The sum of two inputs of one shape, the second times ``sign``."""

    sign: float = 1.0


@dataclass(frozen=True)
class Concat(Op):
    """The channels of all inputs, one after the other."""


@dataclass(frozen=True)
class MaxPool(Reading):
    """The largest value that is read."""


@dataclass(frozen=True)
class AveragePool(Reading):
    """The sum of what is read, times ``factor (H, W)`` of the output position."""

    factor: torch.Tensor


@dataclass(frozen=True)
class Pick(Reading):
    """Rows and columns by a slice, or zeros around the map: each output reads one input position or none."""


@dataclass(frozen=True)
class Channels(Op):
    """Channels by their index; -1 is a channel of zeros."""

    order: torch.Tensor


@dataclass(frozen=True)
class Mean(Op):
    """The mean over all positions: one vector an image."""


@dataclass(frozen=True)
class Node:
    """A step of the network.

    Parameters
    ----------
    name : that of the node in the traced graph.
    op : what it does; None where it is no step that windows are carried through.
    inputs : names of the nodes it reads.
    shape : of its value for one image, ``(C, H, W)`` or any other.
    """

    name: str
    op: Op | None
    inputs: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def map(self) -> Pair:
        """Height and width."""
        return self.shape[-2], self.shape[-1]
