"""Fewest pixels by labels alone: a random set that fools, less what it can do without, and then ever smaller ones.

Our own. What a set of pixels does is known by a yes or no, so a smaller one is guessed: some of its pixels go, and
fewer come. Which come is learnt from the answers: positions and colours near those that could stand in for others are
likely to be strong as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.search.base import Asked
from pinprick.search.colours import corners
from pinprick.search.from_start import FromStart, Images, Scene
from pinprick.search.surrogate import colour_kernel
from pinprick.streams import generator

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]

SIZES = 4
"""Random sets that are drawn at a time, each larger than the one before."""
GROWTH = 1.4
"""From one size to the next, by one pixel at least."""
BATCH = 8
"""Candidates between two looks at what they told."""
GROUPS = 8
"""Parts of a set that are left out one at a time, at first."""
CELLS = 32
"""Cells a side, at most, in which it is learnt where pixels are strong."""
LENGTH = 1.5
"""Cells over which the likeness of two falls to 1/e."""
REACH = 6
"""Cells beyond which nothing is learnt."""
PRIOR = (0.05, 1.0)
"""Successes and tries that every change begins with."""
SHORTLIST = 256
"""Changes of which the one that promises most is taken."""


@dataclass(frozen=True)
class Pixels:
    """A set of pixels: positions ``(n,)``, row x width + column, each once, and their colours ``(n, C)`` uint8."""

    where: Whole
    colours: Images

    def __len__(self) -> int:
        return len(self.where)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Pixels:
        """Those at ``which``."""
        return Pixels(self.where[which], self.colours[which])

    def without(self, which: NDArray[np.intp]) -> Pixels:
        """All but those at ``which``."""
        return Pixels(np.delete(self.where, which), np.delete(self.colours, which, axis=0))

    def plus(self, other: Pixels) -> Pixels:
        """Both; of the same position the later one."""
        kept = ~np.isin(self.where, other.where)
        return Pixels(
            np.concatenate([self.where[kept], other.where]), np.concatenate([self.colours[kept], other.colours])
        )


@dataclass(frozen=True)
class _Guess:
    """A candidate, and what there is to learn from it: changes that came, at what worth a success counts."""

    pixels: Pixels
    new: tuple[tuple[int, int], ...] = ()
    """Position and colour of those that came."""
    worth: float = 1.0
    kind: Literal["swap", "fewer", "drawn", "other"] = "other"


class Strengths:
    """How often changes of like place and colour could stand in for others, by cell and colour of the palette.

    ``successes`` and ``tries`` are ``(P, R, Q)``, R x Q cells being spread over the image.
    """

    def __init__(self, palette: Images, height: int, width: int) -> None:
        self.size = max(1, -(-max(height, width) // CELLS))
        self.height, self.width = height, width
        shape = (len(palette), -(-height // self.size), -(-width // self.size))
        self.successes, self.tries = np.full(shape, PRIOR[0]), np.full(shape, PRIOR[1])
        self.colours = colour_kernel(palette) ** 2
        steps = np.arange(-REACH, REACH + 1)
        self.near = np.exp(-np.hypot(steps[:, None], steps) / LENGTH)

    def note(self, where: int, colour: int, success: float, tries: float) -> None:
        """A change was tried, and it did or did not do."""
        row, column = (int(part) // self.size for part in divmod(where, self.width))
        top, left = max(0, row - REACH), max(0, column - REACH)
        window = (slice(None), slice(top, row + REACH + 1), slice(left, column + REACH + 1))
        _, rows, columns = self.successes[window].shape
        start = (top - row + REACH, left - column + REACH)
        near = self.near[start[0] : start[0] + rows, start[1] : start[1] + columns]
        like = self.colours[colour][:, None, None] * near
        self.successes[window] += success * like
        self.tries[window] += tries * like

    def draw(self, draws: np.random.Generator) -> tuple[int, int]:
        """A change that may be strong: the best of many by how strong each would be if it were lucky."""
        where = draws.integers(0, self.height * self.width, SHORTLIST)
        colours = draws.integers(0, len(self.successes), SHORTLIST)
        cells = (colours, where // self.width // self.size, where % self.width // self.size)
        won, tried = self.successes[cells], self.tries[cells]
        lucky = draws.gamma(won) / tried
        best = int(np.argmax(lucky))
        return int(where[best]), int(colours[best])


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    scene: Scene
    strengths: Strengths
    phase: Literal["starts", "draw", "part", "cut", "shrink", "over"] = "draw"
    turn: int = 0
    size: int = 1
    """Pixels of the sets that are drawn next."""
    best: Pixels | None = None
    """The smallest set that is known to fool."""
    at_hand: Pixels | None = None
    """The set that pixels are taken from."""
    groups: int = GROUPS
    parts: list[NDArray[np.intp]] = field(default_factory=list)
    go: int = 2
    """How many pixels go where one comes."""
    queue: list[_Guess] = field(default_factory=list)
    asked: list[_Guess] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    fresh: int = 0


class HardLabel(FromStart):
    """The smallest set of pixels that fools, by labels alone.

    Random sets in corner colours, larger and larger, until one fools; or an image to start from, where there is one.
    Then parts of it are left out, ever smaller ones, until every pixel is needed. From then on most guesses are sets of
    one pixel fewer: two go and one comes, or all are drawn anew; some have as many, one for another, so that the set
    moves and it shows which pixels are strong.
    """

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int) -> None:
        super().__init__(places, shape, pixels)
        self.palette = corners(shape[0])
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[_Place] = []

    def start(self, place: int, seed: str) -> None:
        scene = self.scene(place)
        site = _Place(seed, scene, Strengths(self.palette, *self.shape[1:]), "starts" if len(scene.starts) else "draw")
        self.sites[place] = site
        self._fill(site)

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked, parts, places = [], [], []
        for place, site in enumerate(self.sites):
            if site is None or site.phase == "over" or limits[place] <= 0:
                continue
            room = min(int(limits[place]), BATCH)
            chosen, site.queue = site.queue[:room], site.queue[room:]
            site.asked += chosen
            site.fresh = len(chosen)
            self._asked.append(site)
            parts += [(guess.pixels.where, guess.pixels.colours) for guess in chosen]
            places += [place] * len(chosen)
        return self.asked(parts, places)

    def told_hits(self, hits: NDArray[np.bool_]) -> None:
        start = 0
        for site in self._asked:
            site.hits += hits[start : start + site.fresh].tolist()
            start += site.fresh
            if not site.queue:
                self._told(site)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.phase == "over"

    def _told(self, site: _Place) -> None:
        """A batch is answered: go on from its smallest set that fools, and put forward the next one."""
        for guess, hit in zip(site.asked, site.hits, strict=True):
            self._learn(site, guess, hit)
        found = [guess for guess, hit in zip(site.asked, site.hits, strict=True) if hit]
        steps: dict[str, Callable[[_Place, list[_Guess]], None]] = {
            "starts": self._begun,
            "draw": self._begun,
            "part": self._parted,
            "cut": self._reduced,
            "shrink": self._shrunk,
        }
        steps[site.phase](site, found)
        site.turn += 1
        if site.best is not None and len(site.best) <= 1:
            site.phase = "over"
        if site.phase != "over":
            site.asked, site.hits = [], []
            self._fill(site)

    def _learn(self, site: _Place, guess: _Guess, hit: bool) -> None:
        for where, colour in guess.new:
            site.strengths.note(where, colour, guess.worth if hit else 0.0, 1.0)

    def _fill(self, site: _Place) -> None:
        """The next batch of candidates, none of which hangs on the answers to others."""
        draws = generator(site.seed, site.turn)
        if site.phase == "starts":
            pixels = site.scene.starts[site.turn]
            where = np.flatnonzero(site.scene.differs(pixels))
            site.queue = [_Guess(Pixels(where, pixels[where]))]
        elif site.phase == "draw":
            site.queue = []
            for _ in range(SIZES):
                site.queue.append(_Guess(self._drawn(site, draws, site.size)))
                larger = max(site.size + 1, int(GROWTH * site.size))
                whole = len(site.scene.image)
                site.size = 1 if site.size == whole else min(larger, whole)
        elif site.phase == "part":
            site.queue = self._parts(site, draws)
        elif site.phase == "shrink":
            site.queue = [self._guess(site, draws, number) for number in range(BATCH)]

    def _drawn(self, site: _Place, draws: np.random.Generator, size: int) -> Pixels:
        """A random set in corner colours, none of them the image's own there."""
        where = draws.choice(len(site.scene.image), size, replace=False)
        return self._coloured(site, where, draws.integers(0, len(self.palette), size))

    def _coloured(self, site: _Place, where: Whole, colours: Whole) -> Pixels:
        """Pixels at these positions in these colours of the palette, or in the opposite where the image has that."""
        own = (self.palette[colours] == site.scene.image[where]).all(axis=1)
        chosen = np.where(own, len(self.palette) - 1 - colours, colours)
        return Pixels(where.astype(np.int64), self.palette[chosen])

    def _begun(self, site: _Place, found: list[_Guess]) -> None:
        """Random sets, or an image to start from."""
        if found:
            self._take(site, min(found, key=lambda guess: len(guess.pixels)).pixels)
        elif site.phase == "starts":
            site.phase = "starts" if site.turn + 1 < len(site.scene.starts) else "draw"

    def _take(self, site: _Place, pixels: Pixels) -> None:
        """A set fools: leave out what it can do without."""
        site.at_hand, site.groups, site.phase = pixels, GROUPS, "part"
        self._keep(site, pixels)

    def _keep(self, site: _Place, pixels: Pixels) -> None:
        if site.best is None or len(pixels) < len(site.best):
            site.best, site.go = pixels, 2

    def _parts(self, site: _Place, draws: np.random.Generator) -> list[_Guess]:
        """The set at hand without each of its parts; pixels of a part lie close together."""
        pixels = site.at_hand
        assert pixels is not None
        count = min(site.groups, len(pixels))
        order = self._by_place(pixels, draws)
        site.parts = [part for part in np.array_split(order, count) if len(part)]
        return [_Guess(pixels.without(part)) for part in site.parts if len(part) < len(pixels)]

    def _by_place(self, pixels: Pixels, draws: np.random.Generator) -> NDArray[np.intp]:
        """Pixels in an order in which those that follow each other are near: along stripes in a random direction."""
        rows, columns = np.divmod(pixels.where, self.shape[2])
        angle = draws.random() * np.pi
        return np.argsort(np.cos(angle) * rows + np.sin(angle) * columns, kind="stable")

    def _parted(self, site: _Place, found: list[_Guess]) -> None:
        """Parts were left out one by one: leave out several of those that are not needed, or smaller ones."""
        pixels = site.at_hand
        assert pixels is not None
        needless = [part for part, hit in zip(site.parts, site.hits, strict=False) if hit]
        if not found:
            if site.groups >= len(pixels):
                self._minimal(site)
            else:
                site.groups *= 2
            return
        smallest = min(found, key=lambda guess: len(guess.pixels)).pixels
        self._keep(site, smallest)
        if len(needless) == 1:
            site.at_hand = smallest
            return
        sizes = sorted({len(needless), *(len(needless) * share // 4 for share in (3, 2)), 2} - {0, 1}, reverse=True)
        cuts = [pixels.without(np.concatenate(needless[:number])) for number in sizes]
        site.at_hand, site.queue = smallest, [_Guess(cut) for cut in cuts if len(cut)]
        site.phase = "cut" if site.queue else "part"

    def _reduced(self, site: _Place, found: list[_Guess]) -> None:
        """Several parts were left out at once."""
        if found:
            site.at_hand = min(found, key=lambda guess: len(guess.pixels)).pixels
            self._keep(site, site.at_hand)
        site.phase = "part"

    def _minimal(self, site: _Place) -> None:
        """Every pixel of the set at hand is needed: look for fewer."""
        assert site.best is not None
        assert site.at_hand is not None
        site.phase = "shrink"
        if len(site.at_hand) > len(site.best):
            site.at_hand = site.best

    def _guess(self, site: _Place, draws: np.random.Generator, number: int) -> _Guess:
        """A set of one pixel fewer than the best, mostly; of as many now and then."""
        pixels = site.at_hand
        assert pixels is not None
        if number % 4 == 3:
            return self._anew(site, draws, len(pixels) - 1)
        swap = number % 4 == 2
        gone = draws.choice(len(pixels), 1 if swap else min(site.go, len(pixels)), replace=False)
        where, colour = site.strengths.draw(draws)
        new = self._coloured(site, np.array([where]), np.array([colour]))
        kind: Literal["swap", "fewer"] = "swap" if swap else "fewer"
        return _Guess(pixels.without(gone).plus(new), ((where, colour),), 1.0 if swap else 3.0, kind)

    def _anew(self, site: _Place, draws: np.random.Generator, size: int) -> _Guess:
        """A set of changes each of which may be strong."""
        pairs: dict[int, int] = {}
        for _ in range(4 * size):
            where, colour = site.strengths.draw(draws)
            pairs.setdefault(where, colour)
            if len(pairs) == size:
                break
        drawn = self._coloured(site, np.array(list(pairs)), np.array(list(pairs.values())))
        return _Guess(drawn, tuple(pairs.items()), 1.0, "drawn")

    def _shrunk(self, site: _Place, found: list[_Guess]) -> None:
        """Smaller sets were guessed: take the smallest that fools, or one of as many in place of the set at hand."""
        pixels = site.at_hand
        assert pixels is not None
        fewer = [guess for guess in found if len(guess.pixels) < len(pixels)]
        if fewer:
            smallest = min(fewer, key=lambda guess: len(guess.pixels))
            go = 2 * site.go if smallest.kind == "fewer" else site.go
            self._take(site, smallest.pixels)
            site.go = max(2, min(go, len(smallest.pixels) // 2))
            return
        site.go = max(2, site.go // 2)
        if found:
            # It has moved: what was needed before may not be now.
            site.at_hand, site.groups, site.phase = found[-1].pixels, len(pixels), "part"
