"""How alike changes at two positions of an image are, and pictures convolved with that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]
Whole = NDArray[np.int64]

COARSE_FROM = 6
"""Length from which a coarse grid is used, that of images of 96 pixels."""
NODES_A_LENGTH = 8
"""Of the coarse grid, about. A plan with 16 takes twice the time at 227 x 227. One pixel fools 11 of 50 images of
SqueezeNet with 8 and 10 with 16; 2 to 10 pixels fool one of 20 fewer with 8: the same within chance."""


@dataclass(frozen=True)
class Geometry:
    """What all models of one image size and length share.

    ``near (H, W)``: how alike two positions are, by rows and columns apart.
    """

    near: Reals
    length: float

    @staticmethod
    @lru_cache(maxsize=8)
    def of(height: int, width: int, length: float) -> Geometry:
        """For images of this size; likeness falls to 1/e over ``length`` pixels."""
        return Geometry(np.exp(-np.hypot(np.arange(height)[:, None], np.arange(width)) / length), length)

    @cached_property
    def convolution(self) -> Convolution:
        """With the likeness, position by position."""
        height, width = self.near.shape
        return Convolution.of(height, width, self.length)

    def spread_out(self, pictures: Reals) -> Reals:
        """Pictures ``(..., H, W)`` convolved with the likeness of positions."""
        return self.convolution(pictures)

    @cached_property
    def coarse(self) -> Coarse | None:
        """The coarse grid for images of this size, None for small ones."""
        if self.length < COARSE_FROM:
            return None
        height, width = self.near.shape
        return Coarse.of(height, width, self.length, max(1, round(self.length / NODES_A_LENGTH)))


@dataclass(frozen=True)
class Convolution:
    """Of pictures with exp(-distance/length).

    ``transform``: this likeness, laid out for a circular convolution over ``padded`` that does not wrap into the image,
    as its Fourier transform.
    """

    padded: tuple[int, int]
    transform: NDArray[np.complexfloating[Any, Any]]

    @staticmethod
    def of(height: int, width: int, length: float) -> Convolution:
        padded = (int(fft.next_fast_len(2 * height - 1, True)), int(fft.next_fast_len(2 * width - 1, True)))
        rows = np.minimum(np.arange(padded[0]), padded[0] - np.arange(padded[0]))
        columns = np.minimum(np.arange(padded[1]), padded[1] - np.arange(padded[1]))
        return Convolution(padded, fft.rfft2(np.exp(-np.hypot(rows[:, None], columns) / length)))

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Of pictures ``(..., H, W)``."""
        height, width = pictures.shape[-2:]
        whole: NDArray[Any] = fft.irfft2(fft.rfft2(pictures, self.padded) * self.transform, self.padded)
        return whole[..., :height, :width]


@dataclass(frozen=True)
class Coarse:
    """A coarse grid of nodes, ``stride`` pixels apart, on which large images are convolved in single precision.

    What lies between nodes counts to those around it by its distances (bilinear), and so is it read from them. The
    likeness changes little within an eighth of its length, but for the very tip of it; and what is known of changes
    next to one that was tried is looked up position by position all the same (:attr:`Surrogate.known`).

    ``rows (H, h)``, ``columns (W, w)``: the weights of the nodes for each row and column of the image.
    """

    stride: int
    rows: Singles
    columns: Singles
    convolution: Convolution

    @staticmethod
    def of(height: int, width: int, length: float, stride: int) -> Coarse:
        rows, columns = _hats(height, stride), _hats(width, stride)
        full = Convolution.of(rows.shape[1], columns.shape[1], length / stride)
        return Coarse(stride, rows, columns, Convolution(full.padded, full.transform.astype(np.complex64)))

    def spread_out(self, rows: Whole, columns: Whole, values: Singles) -> Singles:
        """Values ``(N, Q)`` at ``rows (N,)`` and ``columns (N,)``, convolved with the likeness: ``(Q, H, W)``."""
        high, wide = self.rows.shape[1], self.columns.shape[1]
        top, left = np.minimum(rows // self.stride, high - 2), np.minimum(columns // self.stride, wide - 2)
        places, shares = [], []
        for down in (0, 1):
            for right in (0, 1):
                places.append((top + down) * wide + left + right)
                shares.append(self.rows[rows, top + down] * self.columns[columns, left + right])
        count = len(rows)
        spread = sparse.csr_matrix(
            (np.concatenate(shares), (np.concatenate(places), np.tile(np.arange(count), 4))), (high * wide, count)
        )
        pictures = np.ascontiguousarray((spread @ values).T).reshape(-1, high, wide)
        around: Singles = self.convolution(pictures)
        if self.stride > 1:
            around = (self.rows @ around @ self.columns.T).astype(np.float32)
        return around


def _hats(size: int, stride: int) -> Singles:
    """The weights ``(size, nodes)`` of the nodes at 0, ``stride``, 2 ``stride`` ... for each of ``size`` places."""
    nodes = np.arange(0, size + stride - 1, stride)
    weights: Singles = np.maximum(1 - np.abs(np.arange(size)[:, None] - nodes) / stride, 0).astype(np.float32)
    return weights
