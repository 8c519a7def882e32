"""A simple coarse to fine search, as something for `few-pixel` to beat.

Pixel by pixel: one random position in a random corner colour in each block of 2 x 2; then the 3 x 3 positions around
the six best of these in every corner colour. The best change stays, and the search for the next pixel starts there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.base import Attack, Shape
from pinprick.attacks.search_loop import Stop, StopRule, search_units
from pinprick.edits import Edits
from pinprick.outcomes import Candidate
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.colours import corners
from pinprick.streams import generator
from pinprick.targets.meter import Meter
from pinprick.threat import ThreatModel
from pinprick.units import Unit

BEST = 6
"""Blocks that are looked at closely."""
Whole = NDArray[np.int64]


@dataclass
class _Place:
    draws: np.random.Generator
    base: Whole
    """``(k, 3)``: row, column and colour of the pixels that stay."""
    queue: Whole
    """``(n, 3)`` changes still to be asked."""
    close: bool = False
    """Whether these are the ones around the best blocks."""
    asked: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    """Margin and change of what was asked of this pixel."""
    over: bool = False


class Sketch(Search):
    """See above."""

    objective = "margin"

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int) -> None:
        super().__init__(places, shape, pixels)
        self.palette = corners(shape[0])
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[_Place, Whole]] = []

    def start(self, place: int, seed: str) -> None:
        site = _Place(generator(seed, 0), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64))
        site.queue = self._blocks(site.draws)
        self.sites[place] = site

    def _blocks(self, draws: np.random.Generator) -> Whole:
        _, height, width = self.shape
        first = np.stack(np.meshgrid(np.arange(0, height, 2), np.arange(0, width, 2), indexing="ij"), -1).reshape(-1, 2)
        there = np.minimum(first + draws.integers(0, 2, first.shape), (height - 1, width - 1))
        return np.concatenate([there, draws.integers(0, len(self.palette), (len(there), 1))], axis=1)

    def _around(self, changes: list[tuple[int, ...]]) -> Whole:
        _, height, width = self.shape
        near = {
            (row, column, colour)
            for change in changes
            for row in range(max(0, change[0] - 1), min(height, change[0] + 2))
            for column in range(max(0, change[1] - 1), min(width, change[1] + 2))
            for colour in range(len(self.palette))
        }
        return np.array(sorted(near), np.int64)

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked, places = [], []
        chosen = []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.over or room <= 0:
                continue
            part, site.queue = site.queue[:room], site.queue[room:]
            self._asked.append((site, part))
            places += [place] * len(part)
            whole = np.empty((len(part), self.pixels, 3), np.int64)
            whole[:, : len(site.base)] = site.base
            # The entries that are not used yet repeat the last one, which changes nothing more.
            whole[:, len(site.base) :] = part[:, None]
            chosen.append(whole)
        every = np.concatenate(chosen) if chosen else np.zeros((0, self.pixels, 3), np.int64)
        edits = Edits(every[..., 0].astype(np.int32), every[..., 1].astype(np.int32), self.palette[every[..., 2]])
        return Asked(edits, np.array(places, np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        start = 0
        for site, part in self._asked:
            told = fitness[start : start + len(part)]
            start += len(part)
            site.asked += [(float(value), tuple(change)) for value, change in zip(told, part.tolist(), strict=True)]
            if not len(site.queue):
                self._next(site)

    def _next(self, site: _Place) -> None:
        if not site.close:
            best = sorted(site.asked)[:BEST]
            site.queue, site.close = self._around([change for _, change in best]), True
            return
        _, change = min(site.asked)
        site.base = np.concatenate([site.base, np.array([change], np.int64)])
        site.asked, site.close = [], False
        if len(site.base) == self.pixels:
            site.over = True
        else:
            site.queue = self._blocks(site.draws)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.over


@dataclass(frozen=True)
class SketchPixels(Attack):
    """The attack that runs :class:`Sketch`."""

    stop: Stop = "first-hit"

    name: ClassVar[str] = "sketch"
    threat: ClassVar[ThreatModel] = ThreatModel("scores", "L0 pixels", ("untargeted", "targeted", "reduce"))
    course_free: ClassVar[tuple[str, ...]] = ("stop",)

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:
        _, height, width = shape or (3, 32, 32)
        blocks = -(-height // 2) * -(-width // 2)
        return pixels * (blocks + BEST * 9 * len(corners((shape or (3,))[0]))) + 1

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        return search_units(Sketch, meter, units, StopRule(self.stop))
