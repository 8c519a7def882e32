"""Sparse-RS for few pixels (Croce, Andriushchenko, Singh, Flammarion, Hein 2022, arXiv 2006.12834, section 4.1).

A random search over sets of d pixels in corner colours: a few of them move to other positions in new colours, and the
new set stays where its margin is no higher. How many move falls with the questions asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import Asked, Search
from pinprick.search.colours import corners
from pinprick.search.geometry import Whole
from pinprick.streams import generator

SCHEDULE = ((0, 1), (1, 2), (51, 4), (201, 5), (501, 6), (1001, 8), (2001, 10), (4001, 12), (6001, 15), (8001, 20))
"""From this question on (of 10 000) the share of moving pixels is the first one divided by this (the authors' code)."""
DRAWS = 256
"""Questions whose draws come from one generation of the unit's stream."""


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    current: Whole
    """``(d, 3)``: row, column, colour."""
    margin: float = np.inf
    asked: int = 0
    draws: np.random.Generator | None = None


class SparseRS(Search):
    """One candidate at a time in each place.

    Parameters
    ----------
    share : of the pixels that move at first (the paper's alpha_init).
    budget : questions that the schedule is stretched over.
    """

    objective = "margin"
    at_a_time = 1

    def __init__(
        self, places: int, shape: tuple[int, int, int], pixels: int, *, share: float = 0.3, budget: int = 10_000
    ) -> None:
        super().__init__(places, shape, pixels)
        self.share, self.budget = share, budget
        self.palette = corners(shape[0])
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[_Place, Whole]] = []

    def start(self, place: int, seed: str) -> None:
        self.sites[place] = _Place(seed, np.zeros((0, 3), np.int64))

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked = []
        places = [place for place, site in enumerate(self.sites) if site is not None and limits[place] > 0]
        for place in places:
            site = self.sites[place]
            assert site is not None
            self._asked.append((site, self._next(site)))
        chosen = np.array([candidate for _, candidate in self._asked], np.int64).reshape(-1, self.pixels, 3)
        edits = Edits(chosen[..., 0].astype(np.int32), chosen[..., 1].astype(np.int32), self.palette[chosen[..., 2]])
        return Asked(edits, np.array(places, np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        for (site, candidate), margin in zip(self._asked, fitness.tolist(), strict=True):
            site.asked += 1
            if margin <= site.margin:
                site.margin, site.current = margin, candidate

    def exhausted(self, place: int) -> bool:  # noqa: ARG002
        return False

    def moving(self, asked: int) -> int:
        """How many pixels the next candidate moves after ``asked`` questions."""
        at = int(asked / self.budget * 10_000)
        divisor = [by for start, by in SCHEDULE if start <= at][-1]
        return max(1, int(self.share / divisor * self.pixels))

    def _next(self, site: _Place) -> Whole:
        _, height, width = self.shape
        if site.asked % DRAWS == 0:
            site.draws = generator(site.seed, site.asked // DRAWS)
        draws = site.draws
        assert draws is not None
        if not site.asked:
            flat = draws.choice(height * width, self.pixels, replace=False)
            colours = draws.integers(0, len(self.palette), self.pixels)
            return np.stack([flat // width, flat % width, colours], 1)
        moved = site.current.copy()
        count = self.moving(site.asked)
        out = draws.choice(self.pixels, count, replace=False)
        taken = np.sort(site.current[:, 0] * width + site.current[:, 1])
        free = height * width - self.pixels
        if free >= count:
            # The k-th free position, without a list of all of them: each taken one at or before it pushes it on.
            new = draws.choice(free, count, replace=False)
            for place in taken.tolist():
                new = new + (new >= place)
            moved[out, 0], moved[out, 1] = new // width, new % width
        moved[out, 2] = draws.integers(0, len(self.palette), count)
        return moved
