"""Where single changes did well beside what is known already: the neighbours of the best ones that lie apart.

A model of smooth changes takes a lone good one for chance where those around it did nothing, and narrow hollows are so.
Asking next to it is cheap, and one step is mostly enough to see how deep it goes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pinprick.search.geometry import Reals, Whole


def beside_leads(
    entries: Whole,
    margins: Reals,
    shape: tuple[int, int],
    length: float,
    leads: int,
    fresh: Callable[[list[Whole]], list[Whole]],
) -> list[Whole]:
    """The neighbours, in their colour, of the ``leads`` best single changes that lie apart and have some not asked yet.

    Parameters
    ----------
    entries, margins : single changes asked so far ``(n, 3)``, row, column and colour, and what came of each ``(n,)``.
    shape : rows and columns of the image.
    length : pixels over which changes act alike: neighbours are half of it away, leads one and a half or more.
    fresh : of candidates ``(1, 3)`` those not asked before.
    """
    height, width = shape
    step, apart = max(1, round(length / 2)), max(1, round(1.5 * length))
    around = [(down, right) for down in (-step, 0, step) for right in (-step, 0, step) if down or right]
    covered = np.zeros(shape, bool)
    found: list[Whole] = []
    for row, column, colour in entries[np.argsort(margins, kind="stable")].tolist():
        if covered[row, column]:
            continue
        covered[max(0, row - apart) : row + apart + 1, max(0, column - apart) : column + apart + 1] = True
        places = [(row + down, column + right) for down, right in around]
        inside = [(y, x) for y, x in places if 0 <= y < height and 0 <= x < width]
        new = fresh([np.array([[y, x, colour]]) for y, x in inside])
        found += new
        leads -= bool(new)
        if not leads:
            break
    return found
