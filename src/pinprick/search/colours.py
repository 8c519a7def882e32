"""Colours by number: the corners of the colour cube first, then every colour of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def corners(channels: int) -> NDArray[np.uint8]:
    """The corners of the colour cube, ``(2**C, C)`` uint8: black first, white last."""
    index = np.arange(2**channels)
    bits = (index[:, None] >> np.arange(channels)[::-1]) & 1
    return (255 * bits).astype(np.uint8)


def colours_of(numbers: NDArray[np.int64], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours ``(..., C)`` of ``numbers``: those of ``palette`` (the corners) first, then all, black first."""
    beyond = numbers - len(palette)
    any_colour = (beyond[..., None] >> (8 * np.arange(palette.shape[1])[::-1])) & 255
    corner = palette[np.where(beyond < 0, numbers, 0)]
    return np.where(beyond[..., None] < 0, corner, any_colour).astype(np.uint8)


def colour_numbers(colours: NDArray[np.integer[Any]], palette: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The numbers of ``colours (..., C)``, 0 .. 255; see :func:`colours_of`."""
    place = np.arange(palette.shape[1])[::-1]
    corner = ((colours == 0) | (colours == 255)).all(axis=-1)
    own = ((colours > 0) << place).sum(axis=-1)
    number: NDArray[np.int64] = np.where(
        corner, own, len(palette) + (colours.astype(np.int64) << (8 * place)).sum(axis=-1)
    )
    return number
