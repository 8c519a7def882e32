"""Where few-pixel searches start: the paper's distribution of pixels, and what it does at the edge of the box."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bounds = Literal["clip", "reflect", "resample"]
Reals = NDArray[np.float64]

COLOUR_MEAN, COLOUR_STD = 128.0, 127.0
"""Of the paper's N(128, 127), in 8-bit units (section 3.3)."""


def draw_pixels(
    generator: np.random.Generator, n: int, pixels: int, shape: tuple[int, int, int]
) -> tuple[Reals, Reals]:
    """``n`` candidates: positions ``(n, d, 2)`` uniform over the image, colours ``(n, d, C)`` from N(128, 127).

    Positions are real rows and columns in [0, H) x [0, W); colours are not yet held to 0 .. 255.
    """
    channels, height, width = shape
    positions = generator.random((n, pixels, 2)) * (height, width)
    colours = generator.normal(COLOUR_MEAN, COLOUR_STD, (n, pixels, channels))
    return positions, colours


def into_box(values: Reals, low: Reals | float, high: Reals | float, bounds: Bounds, fresh: Reals | None) -> Reals:
    """``values`` held to [low, high]: clipped to the edge, reflected at it, or replaced by ``fresh`` ones.

    ``fresh`` (only for ``resample``) lies in the box already.
    """
    if bounds == "clip":
        clipped: Reals = np.clip(values, low, high)
        return clipped
    if bounds == "reflect":
        span = np.subtract(high, low)
        folded = np.mod(values - low, 2 * span)
        reflected: Reals = np.clip(low + np.where(folded > span, 2 * span - folded, folded), low, high)
        return reflected
    assert fresh is not None
    return np.where((values < low) | (values > high), fresh, values)


def rounded(positions: Reals, colours: Reals, shape: tuple[int, int, int]) -> tuple[NDArray[np.int32], ...]:
    """What is scored and saved of real-valued pixels: rows, columns (rounded down) and 8-bit colours."""
    _, height, width = shape
    rows = np.minimum(positions[..., 0].astype(np.int32), height - 1)
    columns = np.minimum(positions[..., 1].astype(np.int32), width - 1)
    return rows, columns, np.rint(np.clip(colours, 0, 255)).astype(np.int32)
