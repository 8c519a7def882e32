"""The sweep: every position of the image in every colour of a palette, coarse to fine, nothing left to chance."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.outcomes import LARGEST_MARGIN, VulnerabilityMap
from pinprick.search.base import ASK, Asked, Search

ROOTS = 4
"""Cells along the shorter side of the image that a sweep begins with, at least."""
BOLD = 1.0
"""How much less margin than its middle a cell is hoped to hold, for each halving down to a single position, in standard
deviations of the margins of the first cells. On maps of LeNet on MNIST (40 images) the best position came after 135 of
784 in the mean, 297 at the ninetieth percentile; with 0 after 159 and 414, in a raster scan after 355 and 537."""
Cell = tuple[int, int, int]
"""Size, row and column of a square of positions; it may reach over the edge of the image."""
Position = tuple[int, int]


@dataclass
class _Sweep:
    """One sweep over the positions of one unit's image."""

    asked: NDArray[np.int32]
    """``(H, W)``: colours asked so far at each position; ``fooled``: how many of them met the goal."""
    fooled: NDArray[np.int32]
    margin: NDArray[np.float64]
    """``(H, W)``: the least margin at each position, infinite where nothing is known."""
    planned: NDArray[np.bool_]
    """``(H, W)``: positions that were asked, are being asked, or are left out."""
    waiting: list[Cell]
    """Cells whose middle is among what is asked at the moment."""
    queue: list[Position] = field(default_factory=list)
    """Positions to be asked, the next one last; ``colour`` is the next colour of that one."""
    colour: int = 0
    heap: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Cells of which the middle is known: hoped-for margin, size (negative), row, column."""
    spread: float | None = None
    """Standard deviation of the margins of the first cells, once they are known."""
    questions: int = 0
    best: tuple[float, int, int, int] = (np.inf, 0, 0, 0)
    """Margin, row, column and colour of the best change; the first of equal ones."""


@dataclass
class _Place:
    """One unit's search: the pixels that sweeps before this one have settled, and the sweep that runs."""

    sweep: _Sweep
    fixed: list[tuple[int, int, int]] = field(default_factory=list)
    questions: int = 0
    first: _Sweep | None = None
    """The first sweep, once it is over."""
    over: bool = False


def _all_over(cell: tuple[int, int]) -> list[tuple[int, int]]:
    """A key that sorts cells, by row and column, so that the first of them lie all over the image.

    Those of even row and column come first, and of these those that are multiples of 4, and so on.
    """
    row, column = cell
    return [((row >> bit) & 1, (column >> bit) & 1) for bit in range(16)]


class Sweep(Search):
    """Every position x colour, exact for one pixel; greedy beyond.

    Positions come in an order that learns: the image is cut into square cells, whose middles are asked in all
    colours; then the cell that is hoped to hold the least margin (that of its middle, less :data:`BOLD` for what its
    size leaves open) is cut in four, and so on down to single positions. So the places where the classifier gives way
    are looked at closely first, and a sweep that has to end early has still seen all of the image; one that ends within
    the first cells has seen some that lie all over it. The order does not
    hang on the budget: that of a smaller one is the beginning of that of a larger one (for one pixel). Nothing is
    drawn.

    For d pixels, the best single change is kept and a sweep over the other positions follows, up to d of them; each
    has an equal share of the questions. Once a sweep has met the goal no other follows.

    Parameters
    ----------
    palette : ``(P, C)`` uint8, the colours.
    budget : questions that the sweeps of one unit share.
    complete : whether the first sweep goes on after the goal is met, so that its map is whole.
    margins : whether margins tell anything; without, every position counts alike until one meets the goal.
    """

    objective = "margin"

    def __init__(
        self,
        places: int,
        shape: tuple[int, int, int],
        pixels: int,
        *,
        palette: NDArray[np.uint8],
        budget: int,
        complete: bool = True,
        margins: bool = True,
    ) -> None:
        super().__init__(places, shape, pixels)
        self.palette, self.budget, self.complete, self.margins = palette, budget, complete, margins
        # A sweep that cannot even look at its first cells tells nothing: then fewer pixels are changed.
        self.sweeps = max(1, min(pixels, budget // (len(palette) * len(self._roots()))))
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[_Place, NDArray[np.int64]]] = []
        """Places and what was asked of them last, ``(n, 3)``: row, column, colour."""

    def start(self, place: int, seed: str) -> None:  # noqa: ARG002 (nothing is drawn)
        self.sites[place] = _Place(self._new(()))

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked = []
        owners: list[int] = []
        found: list[NDArray[np.int64]] = []
        kept: list[int] = []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.over or room <= 0:
                continue
            changes = self._next(site, room)
            if not len(changes):
                site.over = True
                continue
            self._asked.append((site, changes))
            owners += [place] * len(changes)
            found.append(self._entries(site, changes))
            kept += [len(site.fixed)] * len(changes)
        entries = np.concatenate(found) if found else np.zeros((0, self.pixels, 3), np.int64)
        rows, columns = entries[..., 0].astype(np.int32), entries[..., 1].astype(np.int32)
        # The pixels of earlier sweeps are in every candidate of this one.
        base = np.array(kept, np.int32)
        edits = Edits(rows, columns, self.palette[entries[..., 2]], None if self.pixels == 1 else base + 1, base)
        return Asked(edits, np.array(owners, np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        start = 0
        for site, changes in self._asked:
            values, start = fitness[start : start + len(changes)], start + len(changes)
            sweep = site.sweep
            rows, columns, colours = changes.T
            np.add.at(sweep.asked, (rows, columns), 1)
            np.minimum.at(sweep.margin, (rows, columns), values)
            top = int(np.argmin(values))
            if values[top] < sweep.best[0]:
                sweep.best = (float(values[top]), int(rows[top]), int(columns[top]), int(colours[top]))

    def told_hits(self, hits: NDArray[np.bool_]) -> None:
        start = 0
        for site, changes in self._asked:
            met, start = hits[start : start + len(changes)], start + len(changes)
            np.add.at(site.sweep.fooled, (changes[met, 0], changes[met, 1]), 1)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.over

    def goes_on(self, place: int) -> bool:
        site = self.sites[place]
        return self.complete and site is not None and site.first is None and not site.over

    def at_rest(self, place: int) -> bool:
        return not self.goes_on(place)

    def map_of(self, place: int) -> VulnerabilityMap | None:
        site = self.sites[place]
        if site is None:
            return None
        first = site.first or site.sweep
        # Scores may be finite and differ by more than any number.
        known = np.clip(first.margin, -LARGEST_MARGIN, LARGEST_MARGIN)
        margin = np.where(first.asked > 0, known, np.nan) if self.margins else None
        return VulnerabilityMap(first.asked, first.fooled, margin)

    def _new(self, fixed: tuple[Position, ...]) -> _Sweep:
        """A sweep over all positions but ``fixed``."""
        _, height, width = self.shape
        sweep = _Sweep(
            asked=np.zeros((height, width), np.int32),
            fooled=np.zeros((height, width), np.int32),
            margin=np.full((height, width), np.inf),
            planned=np.zeros((height, width), bool),
            waiting=[],
        )
        for position in fixed:
            sweep.planned[position] = True
        self._plan(sweep, self._roots())
        sweep.queue.reverse()
        return sweep

    def _roots(self) -> list[Cell]:
        """The cells that a sweep begins with: :data:`ROOTS` or more along each side."""
        _, height, width = self.shape
        size = 1
        while 2 * size * ROOTS <= min(height, width):
            size *= 2
        cells = [(row, column) for row in range(-(-height // size)) for column in range(-(-width // size))]
        cells.sort(key=_all_over)
        return [(size, row * size, column * size) for row, column in cells]

    def _next(self, site: _Place, room: int) -> NDArray[np.int64]:
        """The next changes of a place, ``(n, 3)``, at most ``room``; none where there is nothing left to ask."""
        while not site.sweep.queue:
            self._refine(site.sweep)
            if not site.sweep.queue and not self._begin_another(site):
                return np.zeros((0, 3), np.int64)
        # Of several sweeps, each has its share, and what earlier ones have left over.
        share = -(-self.budget * (len(site.fixed) + 1) // self.sweeps) - site.questions
        if share <= 0:
            return self._next(site, room) if self._begin_another(site) else np.zeros((0, 3), np.int64)
        sweep = site.sweep
        found: list[tuple[int, int, int]] = []
        while sweep.queue and len(found) < min(room, share):
            row, column = sweep.queue[-1]
            found.append((row, column, sweep.colour))
            sweep.colour += 1
            if sweep.colour == len(self.palette):
                sweep.colour = 0
                sweep.queue.pop()
        site.questions += len(found)
        return np.array(found, np.int64)

    def _refine(self, sweep: _Sweep) -> None:
        """Cut the cells of the least margins, until there is enough to ask for one turn or nothing is left."""
        if sweep.spread is None:
            known = sweep.margin[np.abs(sweep.margin) < LARGEST_MARGIN]
            with np.errstate(over="ignore"):
                spread = float(known.std()) if len(known) else 0.0
            sweep.spread = spread if np.isfinite(spread) else 0.0
        told, sweep.waiting = sweep.waiting, []
        for cell in told:
            self._weigh(sweep, cell)
        # The last cell brings up to three positions more, and all of them are to fit into one turn.
        enough = max(1, ASK // len(self.palette) - 3)
        _, height, width = self.shape
        while sweep.heap and len(sweep.queue) < enough:
            _, size, top, left = heapq.heappop(sweep.heap)
            half = -size // 2
            corners = [(half, row, column) for row in (top, top + half) for column in (left, left + half)]
            self._plan(sweep, [cell for cell in corners if cell[1] < height and cell[2] < width])
        sweep.queue.reverse()

    def _plan(self, sweep: _Sweep, cells: list[Cell]) -> None:
        """Have the middles of ``cells`` asked that are not known yet."""
        for cell in cells:
            middle = self._middle(*cell)
            if not sweep.planned[middle]:
                sweep.planned[middle] = True
                sweep.queue.append(middle)
            if middle in sweep.queue:
                sweep.waiting.append(cell)
            else:
                self._weigh(sweep, cell)

    def _weigh(self, sweep: _Sweep, cell: Cell) -> None:
        """Put a cell whose middle is known where it belongs among those that can be cut."""
        size, row, column = cell
        if size > 1:
            hope = BOLD * (sweep.spread or 0.0) * (size.bit_length() - 1)
            heapq.heappush(sweep.heap, (float(sweep.margin[self._middle(*cell)]) - hope, -size, row, column))

    def _middle(self, size: int, row: int, column: int) -> Position:
        """The position that stands for a cell."""
        _, height, width = self.shape
        return min(row + size // 2, height - 1), min(column + size // 2, width - 1)

    def _begin_another(self, site: _Place) -> bool:
        """Keep the best change of the sweep that is over and begin the next; False where none is to follow."""
        sweep = site.sweep
        if site.first is None:
            site.first = sweep
        if len(site.fixed) + 1 == self.sweeps or sweep.fooled.any() or not np.isfinite(sweep.best[0]):
            return False
        site.fixed.append(sweep.best[1:])
        site.sweep = self._new(tuple((row, column) for row, column, _ in site.fixed))
        return True

    def _entries(self, site: _Place, changes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Candidates ``(n, d, 3)``: the fixed pixels, then the change; the last again where there are fewer than d."""
        n, fixed = len(changes), np.array(site.fixed, np.int64).reshape(-1, 3)
        before = np.broadcast_to(fixed, (n, *fixed.shape))
        again = np.repeat(changes[:, None], self.pixels - len(fixed), axis=1)
        return np.concatenate([before, again], axis=1)
