"""What a few-pixel search asks first, before it has a model of what changes do."""

from __future__ import annotations

import numpy as np

from pinprick.search.geometry import Whole
from pinprick.search.surrogate import Surrogate, lowest

PROBES = 8
"""Candidates, where the image tells which changes are strong."""
MANY = 32
"""Pixels beyond which they lie on the lattice all the same."""


def about(count: int, length: float) -> int:
    """How many of the lowest changes are looked at for ``count`` that lie apart; likeness falls within ``length``."""
    return round(count * max(16, 4 * length**2))


def strongest(surrogate: Surrogate, pixels: int) -> list[Whole]:
    """The changes that are strongest by the image, apart from each other, alone or in sets ``(d, 3)``.

    None for very many pixels, or where the image has too few.
    """
    if pixels > MANY:
        return []
    wanted = PROBES * pixels
    strength = surrogate.strength
    if pixels == 1:
        top = lowest(-strength, min(strength.size, about(wanted, surrogate.length)))
    else:
        # One colour a position, so that no set has a position twice.
        colour = strength.argmax(axis=2)
        best = lowest(-strength.max(axis=2, keepdims=True), min(colour.size, about(wanted, surrogate.length)))
        top = np.concatenate([best[:, :2], colour[best[:, 0], best[:, 1]][:, None]], axis=1)
    if len(top) < wanted:
        return []
    return list(surrogate.apart(top, np.zeros_like(strength), strength, wanted).reshape(-1, pixels, 3))


def on_lattice(
    shape: tuple[int, int, int], pixels: int, colours: int, length: float, draws: np.random.Generator
) -> list[Whole]:
    """Lattice points in black and in white, each alone or in sets ``(d, 3)``.

    Parameters
    ----------
    shape : ``(C, H, W)`` of the image.
    colours : how many there are: the first is black, the last white.
    length : pixels over which changes act alike; points lie two and a half times as far apart.
    """
    _, height, width = shape
    step = max(2, round(2.5 * length))
    # Centred: as much room before the first point as after the last.
    rows = np.arange((height - 1) % step // 2, height, step)
    columns = np.arange((width - 1) % step // 2, width, step)
    grid = (rows[:, None] * width + columns).ravel()
    if (missing := pixels - len(grid)) > 0:
        others = np.setdiff1d(np.arange(height * width), grid)
        grid = np.concatenate([grid, draws.choice(others, missing, replace=False)])
    white = draws.integers(0, 2, len(grid))
    probes: list[Whole] = []
    # Each point is in two sets, once in black and once in white, and never twice in one.
    for turned in (white, 1 - white):
        order = draws.permutation(len(grid))[: len(grid) // pixels * pixels]
        sets = np.stack([grid[order] // width, grid[order] % width, turned[order] * (colours - 1)], axis=-1)
        probes += list(sets.reshape(-1, pixels, 3))
    if pixels == 1:
        return [probes[number] for number in draws.permutation(len(probes))]
    return probes
