"""How few pixels fool: the share of units that d pixels or fewer fool, for every d, and the median of the fewest."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.metrics.budget import band
from pinprick.metrics.columns import floats, fooled, owners
from pinprick.metrics.rates import Method
from pinprick.metrics.spread import Spread, spread

ATTACKS = ("min-pixels", "sparse-evo", "hard-label")
"""The attacks whose outcomes hold the smallest number of pixels that they found."""
POINTS = 200
"""Every number of pixels up to this many is a point of the curve; beyond, only those at which it rises."""


@dataclass(frozen=True)
class Minimum:
    """A step function: with ``pixels[i]`` pixels or fewer, ``fooled[i]`` of ``n`` are fooled, failed units being in n.

    ``low`` and ``high`` are a pointwise 95 % band of ``rate``. The last of ``pixels`` is ``cap``, the most that could
    be changed. With ``n`` = 0 there are no points.

    ``median`` is the smallest number of pixels with which at least half are fooled, None where that is more than
    ``cap``. ``interval`` is its 95 % interval, what the band says of one half: from the first number of pixels, from 1
    up, whose ``high`` is one half or more, to the first whose ``low`` is; None stands for more than ``cap``.
    ``fewest`` spreads the numbers over the fooled ones alone, None where there are none.
    """

    cap: int
    n: int
    method: Method
    pixels: tuple[int, ...]
    fooled: tuple[int, ...]
    rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    median: int | None
    interval: tuple[int | None, int | None]
    fewest: Spread | None

    def at(self, pixels: int) -> float | None:
        """The share fooled with ``pixels`` pixels or fewer; None where that is not known: n = 0, or over the cap."""
        if not self.n or not 0 <= pixels <= self.cap:
            return None
        return self.rate[bisect_right(self.pixels, pixels) - 1]

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return plain | {"fewest": None if self.fewest is None else self.fewest.as_dict()}


def fewest_pixels(table: pa.Table) -> NDArray[np.float64]:
    """The smallest number of pixels known to fool each unit, ``(N,)``; infinite for units that were not fooled."""
    return np.where(fooled(table), floats(table, "changed"), np.inf)


def minimum(table: pa.Table, cap: int, *, by_image: bool = False) -> Minimum:
    """The curve of one attack whose outcomes hold how few pixels fool, of at most ``cap``.

    Failed units count as not fooled. The band is Wilson's where every unit is an image of its own, else the bootstrap
    over images. The median's interval is what turning the band round gives: with Wilson's band that of the sign test,
    between two order statistics; with the bootstrap the percentiles of the resampled medians.

    Parameters
    ----------
    by_image : count images, each with the fewest pixels that any of its units takes, as untargeted-derived rates do.
    """
    smallest = fewest_pixels(table)
    images, owner = owners(table)
    if by_image:
        least = np.full(images, np.inf)
        np.minimum.at(least, owner, smallest)
        smallest, owner = least, np.arange(images)
    if not len(smallest):
        return Minimum(cap, 0, "wilson", (), (), (), (), (), None, (None, None), None)
    found = np.isfinite(smallest)
    points = np.arange(cap + 1) if cap <= POINTS else np.unique([0, *smallest[found].astype(np.int64), cap])
    within = smallest[:, None] <= points
    won = within.sum(axis=0)
    method, low, high = band(within, owner, images)
    return Minimum(
        cap=cap,
        n=len(smallest),
        method=method,
        pixels=tuple(points.tolist()),
        fooled=tuple(won.tolist()),
        rate=tuple((won / len(smallest)).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        median=_first(points, 2 * won >= len(smallest)),
        # Images that are attacked were right before: with 0 pixels none is wrong.
        interval=(_first(points, (high >= 0.5) & ((points > 0) | (won[0] > 0))), _first(points, low >= 0.5)),
        fewest=spread(smallest[found], owner[found]),
    )


def _first(points: NDArray[np.int64], reached: NDArray[np.bool_]) -> int | None:
    """The first of ``points`` at which something is reached, None where it never is."""
    return int(points[np.argmax(reached)]) if reached.any() else None
