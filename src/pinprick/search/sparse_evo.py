"""SparseEvo (Vo, Abbasnejad, Ranasinghe, ICLR 2022, arXiv 2202.00091): few pixels by labels alone.

From an image that meets the goal it takes back pixels, a population of masks at a time: a 1 keeps the start's pixel, a
0 takes the image's own. The best mask, cut down by a mix of two others and by a few pixels more, replaces the worst one
where its image still meets the goal and is closer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.search.base import Asked
from pinprick.search.from_start import Flags, FromStart, Images, Scene
from pinprick.streams import generator

STEPS = 110
"""Densities of salt and pepper noise that are tried in turn, from 1/109 to all pixels."""
REPEATS = 2
"""How often they are gone through; then with no more noise than fooled, and a fifth."""
MORE = 1.2
DRAWS = 256
"""Questions whose draws come from one generation of the unit's stream."""


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    scene: Scene
    phase: str = "starts"
    """``starts``: images that were given. ``noise``: salt and pepper. ``first``: the first masks. ``evolve``."""
    asked: int = 0
    draws: np.random.Generator | None = None
    step: int = 0
    """Of the images given or of the densities the next one."""
    repeat: int = 0
    last: float = 1.0
    """The greatest density that is still to be tried."""
    start: Images = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    """The best image that meets the goal so far, ``(H*W, C)``."""
    whole: Flags = field(default_factory=lambda: np.zeros(0, bool))
    """Where it differs."""
    cost: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """``(H*W,)`` squared distance of each of its pixels."""
    masks: list[Flags] = field(default_factory=list)
    fitness: list[float] = field(default_factory=list)
    remove: int = 0
    """How many pixels the next first mask takes back."""
    singles: list[int] = field(default_factory=list)
    """Pixels that it is yet to be tried with by themselves."""
    candidate: Images = field(default_factory=lambda: np.zeros((0, 1), np.uint8))
    mask: Flags = field(default_factory=lambda: np.zeros(0, bool))


class SparseEvo(FromStart):
    """One candidate at a time in each place; settings are those of the authors' code.

    Parameters
    ----------
    population : masks (p).
    first : share of the image's pixels that each first mask takes back (alpha).
    mutation : share of a mask's pixels that a child takes back besides (mu), one at least.
    crossover : how often a child has the first of two masks' pixel rather than the second's.
    """

    at_a_time = 1

    def __init__(
        self,
        places: int,
        shape: tuple[int, int, int],
        pixels: int,
        *,
        population: int = 10,
        first: float = 0.004,
        mutation: float = 0.04,
        crossover: float = 0.9,
    ) -> None:
        super().__init__(places, shape, pixels)
        self.population, self.first, self.mutation, self.crossover = population, first, mutation, crossover
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[_Place] = []

    def start(self, place: int, seed: str) -> None:
        scene = self.scene(place)
        self.sites[place] = _Place(seed, scene, "starts" if len(scene.starts) else "noise")

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        places = [
            place
            for place, site in enumerate(self.sites)
            if site is not None and limits[place] > 0 and not self.exhausted(place)
        ]
        self._asked, parts = [], []
        for place in places:
            site = self.sites[place]
            assert site is not None
            if site.asked % DRAWS == 0:
                site.draws = generator(site.seed, site.asked // DRAWS)
            self._next(site)
            where = np.flatnonzero(site.mask)
            parts.append((where, site.candidate[where]))
            self._asked.append(site)
        return self.asked(parts, places)

    def told_hits(self, hits: NDArray[np.bool_]) -> None:
        for site, hit in zip(self._asked, hits.tolist(), strict=True):
            site.asked += 1
            if site.phase in ("starts", "noise"):
                self._looked(site, hit=hit)
            elif site.phase == "first":
                self._first_told(site, hit=hit)
            else:
                self._child_told(site, hit=hit)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.phase in ("first", "evolve") and self._fewest(site) <= 1

    @staticmethod
    def _fewest(site: _Place) -> int:
        """Pixels of the smallest image that meets the goal."""
        return int(min([int(site.whole.sum()), *(int(mask.sum()) for mask in site.masks)]))

    def _next(self, site: _Place) -> None:
        """Set the candidate that is asked next, and its mask."""
        if site.phase == "starts":
            site.candidate = site.scene.starts[site.step]
            site.mask = site.scene.differs(site.candidate)
            return
        while site.phase == "noise":
            site.candidate = self._noise(site)
            site.mask = site.scene.differs(site.candidate)
            if site.mask.any() and (not len(site.start) or site.mask.sum() < site.whole.sum()):
                return
            # The image itself, or no better than the one that there is if it meets the goal: not worth a question.
            self._looked(site, hit=False)
        site.candidate = site.start
        if site.phase == "first":
            site.mask = self._first(site)
        else:
            site.mask = self._child(site)

    def _noise(self, site: _Place) -> Images:
        """Salt and pepper: as many pixels as the density says, half of them white and half black."""
        assert site.draws is not None
        density = (site.step + 1) / (STEPS - 1) * site.last
        drawn = site.draws.random(len(site.scene.image))
        image = site.scene.image.copy()
        image[drawn < density / 2], image[drawn >= 1 - density / 2] = 0, 255
        return image

    def _looked(self, site: _Place, *, hit: bool) -> None:
        """An image to start from met the goal, or it did not."""
        if hit and (not len(site.start) or site.mask.sum() < site.whole.sum()):
            site.start, site.whole = site.candidate, site.mask
        site.step += 1
        if hit and site.mask.sum() <= 1:
            self._begin(site)
            return
        if site.phase == "starts":
            if hit:
                self._begin(site)
            elif site.step == len(site.scene.starts):
                site.phase, site.step = "noise", 0
            return
        if not hit and site.step < STEPS - 1:
            return
        if hit:
            site.last = min(1.0, site.step / (STEPS - 1) * site.last * MORE)
        # Without any image that meets the goal there is nothing but to try on.
        site.repeat, site.step = site.repeat + 1, 0
        if site.repeat >= REPEATS and len(site.start):
            self._begin(site)

    def _begin(self, site: _Place) -> None:
        """There is an image to start from: make the first masks."""
        apart = site.start.astype(np.float64) - site.scene.image
        site.phase, site.cost = "first", (apart**2).sum(axis=1)
        site.remove = self._take_back(site)

    def _take_back(self, site: _Place) -> int:
        return max(1, min(round(self.first * len(site.whole)), int(site.whole.sum())))

    def _first(self, site: _Place) -> Flags:
        """The start without a few of its pixels."""
        assert site.draws is not None
        mask = site.whole.copy()
        if site.singles:
            mask[site.singles[0]] = False
        else:
            mask[site.draws.choice(np.flatnonzero(mask), site.remove, replace=False)] = False
        return mask

    def _first_told(self, site: _Place, *, hit: bool) -> None:
        """Keep a first mask whose image meets the goal; else take fewer pixels back, at last single ones in turn."""
        if hit:
            self._keep_first(site, site.mask)
        elif site.singles:
            site.singles.pop(0)
            if not site.singles:
                self._keep_first(site, site.whole)
        elif site.remove > 1:
            site.remove -= 1
        else:
            site.singles = np.flatnonzero(site.whole).tolist()

    def _keep_first(self, site: _Place, mask: Flags) -> None:
        site.masks.append(mask)
        site.fitness.append(float(np.sqrt(site.cost[mask].sum())))
        site.singles, site.remove = [], self._take_back(site)
        if len(site.masks) == self.population:
            site.phase = "evolve"

    def _child(self, site: _Place) -> Flags:
        """The best mask, where a mix of two others keeps the pixel too, less a few pixels."""
        draws = site.draws
        assert draws is not None
        best = int(np.argmin(site.fitness))
        others = [number for number in range(len(site.masks)) if number != best]
        one, two = (site.masks[others[number]] for number in draws.choice(len(others), 2, replace=False))
        mask: Flags = site.masks[best] & np.where(draws.random(len(one)) < self.crossover, one, two)
        kept = np.flatnonzero(mask)
        if len(kept):
            mask[draws.choice(kept, max(1, int(len(kept) * self.mutation)), replace=False)] = False
        return mask

    def _child_told(self, site: _Place, *, hit: bool) -> None:
        """A child that meets the goal and is closer than the worst mask takes its place."""
        fitness = float(np.sqrt(site.cost[site.mask].sum()))
        worst = int(np.argmax(site.fitness))
        if hit and fitness < site.fitness[worst]:
            site.masks[worst], site.fitness[worst] = site.mask, fitness
