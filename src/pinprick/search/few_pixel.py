"""Few-pixel search that learns where to ask: a lattice of probes, then the changes that a surrogate expects most of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.surrogate import Surrogate, Whole, corners
from pinprick.streams import generator

BOLD = 1.0
"""Standard deviations added to what a change is expected to do: how much asking where nothing is known is worth."""
BATCH = 32
"""Candidates between two looks at what is known."""
SHORTLIST = 512
"""Single changes that candidates of several pixels are put together from."""


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    surrogate: Surrogate
    queue: list[Whole]
    """Candidates ``(d, 3)`` that are still to be asked: row, column, colour of each pixel."""
    tried: set[bytes] = field(default_factory=set)
    best: tuple[float, Whole] | None = None
    rounds: int = 0
    asked: int = 0
    over: bool = False


class FewPixel(Search):
    """Probes on a lattice in black and white, then batches of the most promising changes by a surrogate's upper bound.

    For one pixel a batch is the changes with the highest bounds. For more it holds the best set so far with one pixel
    exchanged or coloured anew, the set of the highest bounds, and sets put together from randomly disturbed ones. All
    colours are corners of the colour cube: there the changes are largest.

    Parameters
    ----------
    limit : questions after which a search ends by itself, None: never.
    """

    objective = "margin"

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int, *, limit: int | None = None) -> None:
        super().__init__(places, shape, pixels)
        self.limit = limit
        self.palette = corners(shape[0])
        self.length = max(1.5, min(shape[1:]) / 16)
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[int, list[Whole]]] = []

    def start(self, place: int, seed: str) -> None:
        _, height, width = self.shape
        surrogate = Surrogate(height, width, self.palette, self.length)
        site = _Place(seed, surrogate, [])
        site.queue = self._fresh(site, self._probes(generator(seed, 0)), None)
        self.sites[place] = site

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked = []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.over or room <= 0:
                continue
            if not site.queue:
                self._plan(site)
            if self.limit is not None:
                room = min(room, self.limit - site.asked)
            part, site.queue = site.queue[:room], site.queue[room:]
            if not part:
                site.over = True
                continue
            site.asked += len(part)
            self._asked.append((place, part))
        chosen = np.array([entry for _, part in self._asked for entry in part], np.int64)
        chosen = chosen.reshape(-1, self.pixels, 3)
        places = np.repeat([place for place, _ in self._asked], [len(part) for _, part in self._asked])
        edits = Edits(chosen[..., 0].astype(np.int32), chosen[..., 1].astype(np.int32), self.palette[chosen[..., 2]])
        return Asked(edits, places.astype(np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        start = 0
        for place, part in self._asked:
            site = self.sites[place]
            assert site is not None
            values = -fitness[start : start + len(part)]
            start += len(part)
            # A row without scores ends its unit; the model is not to be spoilt by it all the same.
            known = np.isfinite(values)
            if not known.any():
                continue
            entries = np.stack(part)[known]
            site.surrogate.add(entries, values[known])
            top = int(np.argmax(values[known]))
            if site.best is None or values[known][top] > site.best[0]:
                site.best = (float(values[known][top]), entries[top])
            if self.limit is not None and site.asked >= self.limit:
                site.over = True

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.over

    def _probes(self, draws: np.random.Generator) -> list[Whole]:
        """The first candidates: lattice points in black and in white, each alone or in sets of d, every one twice."""
        _, height, width = self.shape
        step = max(2, round(2.5 * self.length))
        # Centred: as much room before the first point as after the last.
        rows = np.arange((height - 1) % step // 2, height, step)
        columns = np.arange((width - 1) % step // 2, width, step)
        grid = np.stack(np.meshgrid(rows, columns, [0, len(self.palette) - 1], indexing="ij"), -1).reshape(-1, 3)
        if self.pixels == 1:
            return list(draws.permutation(grid)[:, None])
        probes: list[Whole] = []
        for _ in range(2):
            shuffled = draws.permutation(grid)
            usable = len(shuffled) // self.pixels * self.pixels
            if not usable:
                shuffled, usable = np.resize(shuffled, (self.pixels, 3)), self.pixels
            probes += list(shuffled[:usable].reshape(-1, self.pixels, 3))
        return probes

    def _plan(self, site: _Place) -> None:
        """Fill the queue by what has been learnt."""
        site.rounds += 1
        draws = generator(site.seed, site.rounds)
        mean, spread = site.surrogate.expected()
        bound = mean + BOLD * spread
        if self.pixels == 1:
            # As many as must hold a batch of new ones; none is left once every change was tried.
            candidates = list(self._top(bound, min(bound.size, len(site.tried) + BATCH))[:, None])
        else:
            candidates = self._sets(site, draws, mean, spread, bound)
        site.queue = self._fresh(site, candidates, BATCH)
        if not site.queue and self.pixels > 1:
            site.queue = self._fresh(site, self._anything(draws), BATCH)

    def _top(self, bound: NDArray[np.float64], count: int) -> Whole:
        """The ``count`` changes of the highest bounds, best first, ``(count, 3)``."""
        flat = bound.ravel()
        first = np.argpartition(-flat, count - 1)[:count] if count < flat.size else np.arange(flat.size)
        # Ties by place, so that the order does not hang on how the partition went.
        order = first[np.lexsort((first, -flat[first]))]
        return np.stack(np.unravel_index(order, bound.shape), 1).astype(np.int64)

    def _sets(
        self,
        site: _Place,
        draws: np.random.Generator,
        mean: NDArray[np.float64],
        spread: NDArray[np.float64],
        bound: NDArray[np.float64],
    ) -> list[Whole]:
        """Candidates of several pixels."""
        top = self._top(bound, min(bound.size, SHORTLIST))
        at = tuple(top.T)
        found = [self._together(top, mean[at]), self._together(top, bound[at])]
        if site.best is not None:
            found += self._exchanges(site.best[1], top, mean)
        while len(found) < BATCH * 2:
            disturbed = mean[at] + BOLD * spread[at] * draws.standard_normal(len(top))
            found.append(self._together(top, disturbed))
        return found

    def _together(self, top: Whole, score: NDArray[np.float64]) -> Whole:
        """The best changes by ``score`` at d distinct positions."""
        chosen: list[int] = []
        taken: set[tuple[int, int]] = set()
        for index in np.argsort(-score, kind="stable").tolist():
            where = (int(top[index, 0]), int(top[index, 1]))
            if where not in taken:
                taken.add(where)
                chosen.append(index)
            if len(chosen) == self.pixels:
                break
        # Fewer positions on the list than pixels: the last one again, which changes nothing more.
        chosen += chosen[-1:] * (self.pixels - len(chosen))
        return top[chosen]

    def _exchanges(self, best: Whole, top: Whole, mean: NDArray[np.float64]) -> list[Whole]:
        """The best set with one pixel replaced: by turns the two that are expected to do least."""
        order = np.argsort(mean[tuple(best.T)], kind="stable")[:2]
        found = []
        for turn, change in enumerate(top):
            same = np.flatnonzero((best[:, :2] == change[:2]).all(1))
            entry = int(same[0]) if len(same) else int(order[turn % len(order)])
            if (best[entry] == change).all():
                continue
            new = best.copy()
            new[entry] = change
            found.append(new)
            if len(found) == BATCH // 2:
                break
        return found

    def _anything(self, draws: np.random.Generator) -> list[Whole]:
        """Random candidates, where nothing better is left to ask."""
        size = (4 * BATCH, self.pixels)
        _, height, width = self.shape
        drawn = [draws.integers(0, most, size) for most in (height, width, len(self.palette))]
        return list(np.stack(drawn, -1).astype(np.int64))

    @staticmethod
    def _fresh(site: _Place, candidates: list[Whole], most: int | None) -> list[Whole]:
        """The first ``most`` of those not asked before, in their order; from now on they count as asked."""
        fresh: list[Whole] = []
        for candidate in candidates:
            if len(fresh) == most:
                break
            # The order of the pixels makes no other image, but for a position that is there twice.
            key = candidate[np.lexsort(candidate.T[::-1])].tobytes()
            if key not in site.tried:
                site.tried.add(key)
                fresh.append(candidate)
        return fresh
