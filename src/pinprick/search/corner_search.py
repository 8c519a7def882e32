"""CornerSearch at a given number of pixels (Croce, Hein 2019, ICCV, arXiv 1909.05040; the L0 version).

First every single pixel in every corner colour. What these changes do is sorted, once over all classes and once towards
each of them; then sets of 2, 3, ... d of the changes that stand first are drawn, the better ones more often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.colours import corners
from pinprick.search.geometry import Whole
from pinprick.search.start import Reals
from pinprick.streams import generator

LEAST = 10
"""Sets drawn by an ordering, at least; where the budget has no room for that, the farthest classes are left out."""


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    course: Iterator[Whole] = field(default_factory=lambda: iter(()))
    """Blocks of candidates, each made when the ones before it have been told of."""
    block: Whole | None = None
    """What is still to be asked of the block at hand, ``(n, 1)`` or ``(n, d)`` changes; None at the end."""
    values: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    """``(n, 1 + K)``, n up to ``top``: of each ordering the lowest values, rising. First all classes, then each one."""
    changes: Whole = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """``(n, 1 + K)``: the single changes that have them."""


class CornerSearch(Search):
    """All changes of one pixel to a corner colour, then sets of up to d of the best.

    A change is a number, ``position * P + colour`` with ``P`` corners of the colour cube. The first phase goes through
    the positions in random order, each in one of its colours, then through all of them in another one, and so on.

    A set takes k of the ``top`` changes of one ordering, independently, rank i of N with probability
    ``(2 N - 2 i + 1) / N**2``; of a position drawn twice the later colour stays. For each k from 2 to d every ordering
    gives ``iterations`` sets: the first orders by the margin, the others, of untargeted goals, by the gap to one class.

    Where the budget has no room for the whole first phase, that gets half of it (for one pixel all of it). What is left
    is shared evenly among the orderings and every k, ``iterations`` for each at most.

    Parameters
    ----------
    top, iterations : 100 and 1000 in the authors' code (N and N_iter).
    budget : questions of a unit, the verifying one included, 2 or more.
    """

    objective = "gaps"

    def __init__(
        self,
        places: int,
        shape: tuple[int, int, int],
        pixels: int,
        *,
        top: int = 100,
        iterations: int = 1000,
        budget: int = 100_000,
    ) -> None:
        super().__init__(places, shape, pixels)
        self.top, self.iterations = top, iterations
        self.palette = corners(shape[0])
        self.cells = shape[1] * shape[2]
        every, room = self.cells * len(self.palette), budget - 1
        self.singles = every if every <= room else room if pixels == 1 else max(1, room // 2)
        """Questions of the first phase."""
        self.left = room - self.singles
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[_Place, Whole]] = []

    def start(self, place: int, seed: str) -> None:
        site = _Place(seed)
        site.course = self._course(site)
        site.block = next(site.course)
        self.sites[place] = site

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked = []
        places: list[int] = []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.block is None or room <= 0:
                continue
            part, site.block = site.block[:room], site.block[room:]
            self._asked.append((site, part))
            places += [place] * len(part)
        # A single change fills all d entries, which changes nothing more.
        parts = [np.broadcast_to(part, (len(part), self.pixels)) for _, part in self._asked]
        chosen = np.concatenate(parts) if parts else np.zeros((0, self.pixels), np.int64)
        where, colour = np.divmod(chosen, len(self.palette))
        rows, columns = np.divmod(where, self.shape[2])
        edits = Edits(rows.astype(np.int32), columns.astype(np.int32), self.palette[colour])
        return Asked(edits, np.array(places, np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        start = 0
        for site, part in self._asked:
            gaps = fitness[start : start + len(part)]
            start += len(part)
            if part.shape[1] == 1:
                self._sort_in(site, part, gaps)
            if site.block is not None and not len(site.block):
                site.block = next(site.course, None)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.block is None

    def _sort_in(self, site: _Place, changes: Whole, gaps: Reals) -> None:
        """Take single changes ``(n, 1)`` and their gaps ``(n, K)`` into the orderings."""
        new = np.concatenate([gaps.min(axis=1, keepdims=True), gaps], axis=1)
        if not len(site.values):
            site.values, site.changes = new[:0], np.zeros((0, new.shape[1]), np.int64)
        values = np.concatenate([site.values, new])
        known = np.concatenate([site.changes, np.broadcast_to(changes, new.shape)])
        # Equal values stay in the order in which they were asked, however many are told of at a time.
        first = np.argsort(values, axis=0, kind="stable")[: self.top]
        site.values = np.take_along_axis(values, first, axis=0)
        site.changes = np.take_along_axis(known, first, axis=0)

    def _course(self, site: _Place) -> Iterator[Whole]:
        """All that is asked for one unit, in blocks that are not empty."""
        draws = generator(site.seed, 0)
        positions = draws.permutation(self.cells)
        colours = draws.permuted(np.tile(np.arange(len(self.palette), dtype=np.uint8), (self.cells, 1)), axis=1)
        for start in range(0, self.singles, ASK):
            turn, at = np.divmod(np.arange(start, min(start + ASK, self.singles)), self.cells)
            yield (positions[at] * len(self.palette) + colours[at, turn])[:, None]
        for k, ordering, count in self._shares(site):
            if count:
                yield self._sets(site, k, ordering, count)

    def _shares(self, site: _Place) -> Iterator[tuple[int, int, int]]:
        """After the first phase: k, the ordering, and how many sets of k are drawn by it."""
        rounds = self.pixels - 1
        if not rounds:
            return
        nearest = site.values[0]
        classes = np.flatnonzero(np.isfinite(nearest[1:])) + 1
        # A single class is ordered as all of them together are.
        classes = classes if len(classes) > 1 else classes[:0]
        room = min(max(1, self.left // (rounds * LEAST)), 1 + len(classes))
        chosen = np.sort(classes[np.argsort(nearest[classes], kind="stable")[: room - 1]])
        pairs = [(k, ordering) for k in range(2, self.pixels + 1) for ordering in [0, *chosen.tolist()]]
        for number, (k, ordering) in enumerate(pairs):
            share = (number + 1) * self.left // len(pairs) - number * self.left // len(pairs)
            yield k, ordering, min(self.iterations, share)

    def _sets(self, site: _Place, k: int, ordering: int, count: int) -> Whole:
        """``count`` sets ``(count, d)`` of up to k distinct positions; further entries repeat the last one."""
        draws = generator(site.seed, 1 + k * site.values.shape[1] + ordering)
        n = len(site.changes)
        # The root of a uniform number: rank i of N (1 is best) falls to it in 2 (N - i) + 1 of N**2 cases.
        ranks = n - 1 - np.sqrt(draws.integers(0, n * n, (count, k))).astype(np.int64)
        drawn = site.changes[ranks, ordering]
        where = drawn // len(self.palette)
        stays = np.ones((count, k), bool)
        for entry in range(k - 1):
            stays[:, entry] = (where[:, entry + 1 :] != where[:, entry, None]).all(axis=1)
        order = np.argsort(~stays, axis=1, kind="stable")
        entries = np.minimum(np.arange(self.pixels), stays.sum(axis=1, keepdims=True) - 1)
        return np.take_along_axis(drawn, np.take_along_axis(order, entries, axis=1), axis=1)
