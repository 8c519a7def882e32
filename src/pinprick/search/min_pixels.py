"""How few pixels will do: few-pixel searches with more and more pixels until one fools, then with fewer and fewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.colours import colours_of, corners
from pinprick.search.few_pixel import FewPixel
from pinprick.search.geometry import Whole

GROWTH = 1.4
"""From one number of pixels to the next while nothing fools; by one pixel at least."""
STAGE = 400
"""Questions of one number of pixels, before the next is tried."""
WAY_DOWN = 2**64
"""Added to the number of pixels where it makes a seed of its own for a search on the way down."""
WARM = 24
"""Candidates that a number of pixels takes over from the one before."""
STEPS = (2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
"""How many pixels are taken back at once, where single ones can be done without."""


@dataclass
class _Place:
    """One unit's search.

    ``grow``: a few-pixel search of ``pixels`` pixels, more in turn until one fools. ``drop``: of the set that fools,
    each pixel is left out by itself. ``cut``: several are left out, by what that showed. ``shrink``: a search with one
    pixel fewer than is known to do.
    """

    seed: str
    image: NDArray[np.uint8] | None = None
    phase: Literal["grow", "drop", "cut", "shrink", "over"] = "grow"
    pixels: int = 1
    search: FewPixel | None = None
    spent: int = 0
    """Questions of this search."""
    failed: int = 0
    """The most pixels that a search was given without fooling."""
    fooling: Whole = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    """The smallest set known to fool, ``(n, 3)``."""
    queue: list[Whole] = field(default_factory=list)
    sets: list[Whole] = field(default_factory=list)
    """Of a search those asked in this turn; of a queue all that were asked of it."""
    margins: list[float] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    order: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    """Pixels of ``fooling``, those first that it can best do without."""
    fresh: int = 0
    """How many were asked in this turn."""
    kept: NDArray[np.int32] | None = None
    """How many of their pixels these have in common, as :class:`pinprick.edits.Edits` has it."""


class MinPixels(Search):
    """The smallest set of pixels that fools, of at most ``pixels``.

    It goes up: one pixel, two, then about 1.4 times as many each time, each search starting from the best sets of the
    one before. Once a set fools, it leaves out what it can: each pixel by itself first, then several at once in the
    order which that gave. Then it searches with one pixel fewer, starting from what is left, until that fails.

    Parameters
    ----------
    give_up : whether the last of these searches ends where more questions pay little; else it goes on.
    by_image : whether the image tells which changes are strong (:meth:`look`); else all are taken for equally strong.
    """

    objective = "gaps"
    shrinks = True

    def __init__(
        self, places: int, shape: tuple[int, int, int], pixels: int, *, give_up: bool = False, by_image: bool = True
    ) -> None:
        super().__init__(places, shape, pixels)
        self.give_up, self.by_image = give_up, by_image
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[_Place] = []
        self._palette = corners(shape[0])
        self._images: list[NDArray[np.uint8] | None] = [None] * places

    def look(self, place: int, image: NDArray[np.uint8], starts: NDArray[np.uint8] | None) -> None:  # noqa: ARG002
        self._images[place] = image if self.by_image else None

    def start(self, place: int, seed: str) -> None:
        site = _Place(seed, self._images[place])
        self._begin(site, 1, [])
        self.sites[place] = site

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked, parts, places = [], [], []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.phase == "over" or room <= 0:
                continue
            candidates = self._next(site, room)
            if candidates:
                self._asked.append(site)
                parts.append(self._edits(candidates, site.kept))
                places.append(np.full(len(candidates), place, np.int64))
        if not parts:
            return Asked(self._edits([]), np.zeros(0, np.int64))
        return Asked(Edits.join(parts), np.concatenate(places))

    def tell(self, told: NDArray[np.float64]) -> None:
        start = 0
        for site in self._asked:
            gaps = told[start : start + site.fresh]
            start += site.fresh
            site.margins += gaps.min(axis=1).tolist()
            if site.search is not None:
                site.search.tell(gaps)

    def told_hits(self, hits: NDArray[np.bool_]) -> None:
        start = 0
        for site in self._asked:
            site.hits += hits[start : start + site.fresh].tolist()
            start += site.fresh
            self._go_on(site)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.phase == "over"

    def goes_on(self, place: int) -> bool:
        return not self.exhausted(place)

    def _next(self, site: _Place, room: int) -> list[Whole]:
        """The next candidates of one unit, at most ``room``."""
        if site.search is not None:
            # Of a search only what it asked last is needed: it keeps the rest itself.
            site.kept = site.search.ask(np.array([room])).edits.kept
            site.sets, site.margins, site.hits = site.search.asked_last(), [], []
            site.fresh = len(site.sets)
            if not site.fresh:
                self._fail(site)
                return self._next(site, room) if site.phase != "over" else []
            return site.sets
        part, site.queue, site.kept = site.queue[:room], site.queue[room:], None
        site.sets += part
        site.fresh = len(part)
        return part

    def _go_on(self, site: _Place) -> None:
        """What the answers of this turn lead to."""
        if site.search is not None:
            site.spent += site.fresh
            if any(site.hits):
                found = min(np.flatnonzero(site.hits).tolist(), key=lambda number: site.margins[number])
                self._drop(site, distinct(site.sets[found]))
            elif site.search.exhausted(0) or (site.spent >= STAGE and (self.give_up or not self._last(site))):
                self._fail(site)
        elif not site.queue:
            if site.phase == "drop":
                self._dropped(site)
            else:
                self._cut(site)

    def _last(self, site: _Place) -> bool:
        """Whether nothing is left to try after the search at hand."""
        return site.phase == "shrink" or site.pixels == self.pixels

    def _begin(self, site: _Place, pixels: int, first: list[Whole]) -> None:
        """Search with this number of pixels."""
        site.pixels, site.spent = pixels, 0
        site.search = FewPixel(1, self.shape, pixels, give_up=self.give_up or not self._last(site))
        if site.image is not None:
            site.search.look(0, site.image, None)
        # Each search has draws of its own, also with a number of pixels that was tried on the way up.
        own = pixels + (WAY_DOWN if site.phase == "shrink" else 0)
        site.search.start_from(0, f"{int(site.seed, 16) ^ own:032x}", first)

    def _fail(self, site: _Place) -> None:
        """The search at hand has not fooled."""
        assert site.search is not None
        site.failed = max(site.failed, site.pixels)
        if self._last(site):
            site.phase, site.search = "over", None
            return
        pixels = min(self.pixels, max(site.pixels + 1, int(GROWTH * site.pixels)))
        self._begin(site, pixels, site.search.extended(0, pixels, WARM, site.seed))

    def _drop(self, site: _Place, fooling: Whole) -> None:
        """Leave each pixel of a set that fools out by itself."""
        site.fooling, site.search, site.phase = fooling, None, "drop"
        site.queue = [np.delete(fooling, number, axis=0) for number in range(len(fooling))] if len(fooling) > 1 else []
        site.sets, site.margins, site.hits = [], [], []
        if not site.queue:
            site.phase = "over"

    def _dropped(self, site: _Place) -> None:
        """Each pixel was left out: leave out several, or search with one fewer."""
        # Hits first: a margin of 0 may be a hit or none.
        site.order = np.lexsort((np.array(site.margins), np.logical_not(site.hits))).astype(np.int64)
        if any(site.hits):
            site.phase = "cut"
            # The one that it can best do without is known to be needless.
            site.queue = [np.delete(site.fooling, site.order[:n], axis=0) for n in STEPS if n < len(site.fooling)]
            site.sets, site.margins, site.hits = [], [], []
            if not site.queue:
                self._cut(site)
            return
        pixels = len(site.fooling) - 1
        if pixels <= site.failed and self.give_up:
            site.phase = "over"
            return
        site.phase = "shrink"
        self._begin(site, pixels, [site.sets[number] for number in site.order[:WARM]])

    def _cut(self, site: _Place) -> None:
        """Keep the smallest set that fools, and see what else it can do without."""
        smallest = np.delete(site.fooling, site.order[:1], axis=0)
        for candidate, hit in zip(site.sets, site.hits, strict=True):
            if hit and len(candidate) < len(smallest):
                smallest = candidate
        self._drop(site, smallest)

    def _edits(self, candidates: list[Whole], kept: NDArray[np.int32] | None = None) -> Edits:
        """Candidates of any numbers of pixels as edits with room for ``pixels`` entries."""
        entries = np.zeros((len(candidates), self.pixels, 3), np.int64)
        for number, candidate in enumerate(candidates):
            # Those that do not count repeat the last one.
            entries[number, : len(candidate)], entries[number, len(candidate) :] = candidate, candidate[-1]
        count = np.array([len(candidate) for candidate in candidates], np.int32)
        rows, columns = entries[..., 0].astype(np.int32), entries[..., 1].astype(np.int32)
        return Edits(rows, columns, colours_of(entries[..., 2], self._palette), count, kept)


def distinct(entries: Whole) -> Whole:
    """A set ``(n, 3)`` without pixels that a later entry overwrites."""
    last = {(int(row), int(column)): number for number, (row, column, _) in enumerate(entries)}
    return entries[sorted(last.values())]


def stages(pixels: int) -> int:
    """How many numbers of pixels are tried on the way up to ``pixels``."""
    count, current = 1, 1
    while current < pixels:
        current = min(pixels, max(current + 1, int(GROWTH * current)))
        count += 1
    return count
