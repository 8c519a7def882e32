"""A model of what each pixel change does to the margin, learnt from the candidates scored so far.

A Gaussian process over single-pixel changes (position, colour). The fall of the margin under a candidate of several
pixels is taken for the sum of what they do alone: far from exact, and enough to tell where to ask next. Nearby
positions and like colours fall alike, which is why a few hundred questions tell most of what thousands do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]

NOISE = 0.05
"""Variance of what the model does not explain, a pixel, against a variance of 1 of the change itself."""
REACH = 4.0
"""The spread is taken to be all there is beyond this many lengths."""


def corners(channels: int) -> NDArray[np.uint8]:
    """The corners of the colour cube, ``(2**C, C)`` uint8: black first, white last."""
    index = np.arange(2**channels)
    bits = (index[:, None] >> np.arange(channels)[::-1]) & 1
    return (255 * bits).astype(np.uint8)


def colour_kernel(palette: NDArray[np.uint8]) -> Reals:
    """How alike changes to two colours are, ``(P, P)``, 1 on the diagonal.

    Parts: any change at all (0.45), brightness (0.3), the channels one by one (0.25). Each is a kernel of its own.
    """
    colours = palette.astype(np.float64) / 255
    bright = np.abs(colours.mean(1)[:, None] - colours.mean(1))
    apart = np.abs(colours[:, None] - colours).mean(2)
    kernel: Reals = 0.45 + 0.3 * (1 - bright) + 0.25 * (1 - apart)
    return kernel


class Surrogate:
    """The model of one unit.

    Parameters
    ----------
    height, width : of the image, in pixels.
    palette : ``(P, C)`` uint8, the colours that changes are made to.
    length : pixels over which the likeness of two positions falls to 1/e.
    most : observations it is fitted to, at most; the lowest margins and the latest are kept.
    """

    def __init__(self, height: int, width: int, palette: NDArray[np.uint8], length: float, most: int = 512) -> None:
        self.height, self.width, self.length, self.most = height, width, length, most
        self.colours = colour_kernel(palette)
        rows, columns = np.arange(height)[:, None], np.arange(width)
        self.near: Reals = np.exp(-np.hypot(rows, columns) / length)
        """By row and column apart: how alike two positions are."""
        # The kernel laid out for a circular convolution that does not wrap into the image.
        self._padded = (fft.next_fast_len(2 * height - 1, True), fft.next_fast_len(2 * width - 1, True))
        rows = np.minimum(np.arange(self._padded[0]), self._padded[0] - np.arange(self._padded[0]))
        columns = np.minimum(np.arange(self._padded[1]), self._padded[1] - np.arange(self._padded[1]))
        around = np.exp(-np.hypot(rows[:, None], columns) / length)
        self._transform = fft.rfft2(around)
        self.entries: Whole = np.zeros((0, 0, 3), np.int64)
        """``(n, d, 3)``: row, column and colour of each pixel of each observation."""
        self.values: Reals = np.zeros(0)
        """``(n,)`` what was told of them; higher is better."""
        self.known: Reals = np.zeros((height, width, len(palette)))
        """The likeness of each change to the nearest that was tried, 0 .. 1."""

    def add(self, entries: Whole, values: Reals) -> None:
        """Observe candidates ``(n, d, 3)`` and their ``values (n,)``."""
        if not len(self.entries):
            self.entries = self.entries.reshape(0, *entries.shape[1:])
        self.entries = np.concatenate([self.entries, entries])
        self.values = np.concatenate([self.values, values])
        if len(self.values) > self.most:
            kept = np.argsort(-self.values[: -self.most // 2], kind="stable")[: self.most // 2]
            kept = np.concatenate([np.sort(kept), np.arange(len(self.values) - self.most // 2, len(self.values))])
            self.entries, self.values = self.entries[kept], self.values[kept]
        # One pixel of several tells less about itself than one alone.
        share = float(entries.shape[1]) ** -0.25
        reach = int(np.ceil(REACH * self.length))
        for row, column, colour in np.unique(entries.reshape(-1, 3), axis=0).tolist():
            top, left = max(0, row - reach), max(0, column - reach)
            window = self.known[top : row + reach + 1, left : column + reach + 1]
            rows = np.abs(np.arange(top, top + window.shape[0]) - row)
            columns = np.abs(np.arange(left, left + window.shape[1]) - column)
            like = share * self.near[np.ix_(rows, columns)]
            np.maximum(window, like[:, :, None] * self.colours[colour], out=window)

    def expected(self) -> tuple[Reals, Reals]:
        """What each single change is expected to add, ``(H, W, P)``, and how unsure that is (standard deviation)."""
        n, pixels, _ = self.entries.shape
        scale = float(self.values.std())
        if n < 2 or scale == 0:
            return np.zeros_like(self.known), np.sqrt(np.maximum(1 - self.known**2, 0))
        told = (self.values - self.values.mean()) / scale
        flat = self.entries.reshape(-1, 3)
        rows, columns, colours = flat.T
        alike = self.near[np.abs(rows[:, None] - rows), np.abs(columns[:, None] - columns)]
        alike = alike * self.colours[colours[:, None], colours]
        kernel = alike.reshape(n, pixels, n, pixels).sum(axis=(1, 3))
        kernel[np.diag_indices(n)] += NOISE * pixels
        weights = np.repeat(linalg.solve(kernel, told, assume_a="pos"), pixels)
        # The weights as one picture a colour: what they add up to at each position is a convolution.
        picture = np.zeros((len(self.colours), self.height, self.width))
        np.add.at(picture, (colours, rows, columns), weights)
        smooth = fft.irfft2(fft.rfft2(picture, self._padded) * self._transform, self._padded)
        smooth = smooth[:, : self.height, : self.width]
        mean: Reals = scale * np.moveaxis(np.tensordot(self.colours, smooth, axes=1), 0, -1)
        return mean, scale * np.sqrt(np.maximum(1 - self.known**2, 0))
