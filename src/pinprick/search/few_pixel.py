"""Few-pixel search that learns where to ask: a few probes, then the changes that a surrogate expects most of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.colours import colour_numbers, colours_of, corners
from pinprick.search.descent import Descent
from pinprick.search.geometry import Reals, Whole
from pinprick.search.leads import beside_leads
from pinprick.search.probes import about, on_lattice, strongest
from pinprick.search.strength import strengths
from pinprick.search.surrogate import Expected, Surrogate, lowest, one_thread
from pinprick.streams import generator

BOLD = 1.0
"""Standard deviations added to what a change is expected to do: how much asking where nothing is known is worth."""
CAUTION = 3.0
"""Standard deviations beyond which nothing more is hoped for, where the search may give up."""
FIRST = 240
"""Questions of one pixel before the search may give up."""
NEAR = (0.5, 600)
"""Of one pixel: it does not give up where it has come closer to the goal than this share of a standard deviation, up to
so many questions."""
LEADS = (4, 150)
"""Of one pixel, where nothing more is hoped for: leads that are followed at a time, and questions for that in all."""
STALL = 200
"""Questions of several pixels without progress after which a descent begins."""
PROGRESS = 0.02
"""What counts as progress: the margin moves by this share of the standard deviation that its candidates began with."""
BATCHES = (8, 64)
"""Candidates between two looks at what is known, from and to: an eighth of those asked so far."""
TRIES = 8
"""How often random candidates are drawn before there are taken to be no new ones."""
SHORTLIST = 512
"""Single changes that candidates of several pixels are put together from, at least."""
CLASSES = 3
"""Classes that are modelled at a time: those that came closest to overtaking."""
SHARES = (0.6, 0.25, 0.15)
"""Of the disturbed sets, how many are for each of them."""
BASES = 2
"""Sets that are built on at a time."""
EXCHANGES = (3 / 8, 1 / 8)
"""Shares of a batch that are exchanges of each of them."""


@dataclass
class _Place:
    """One unit's search."""

    seed: str
    surrogate: Surrogate
    queue: list[Whole]
    """Candidates ``(d, 3)`` that are still to be asked: row, column, colour of each pixel."""
    tried: set[bytes] = field(default_factory=set)
    best: list[tuple[float, Whole]] = field(default_factory=list)
    """The candidates closest to the goal so far, closest first: margin and entries."""
    rounds: int = 0
    asked: int = 0
    reached: float = np.inf
    """The margin at the last progress, ``at`` that many questions, against a ``step`` of progress."""
    at: int = 0
    step: float = 0.0
    over: bool = False
    descent: Descent | None = None
    since: int = 0
    """Questions asked when the last descent ended."""
    own: int = 0
    """How many of the queue are the descent's."""
    followed: int = 0
    """Questions for leads."""


class FewPixel(Search):
    """Probes, then batches of the most promising changes by a surrogate's lower bound.

    Probes are the changes that are strongest by the image, apart from each other (:mod:`pinprick.search.strength`);
    without an image, and of very many pixels, those of a lattice in black and white.
    For one pixel a batch is the changes with the lowest bounds, apart from each other; once these leave no hope and the
    search does not end, what lies beside the best of those asked is asked as well. For more it holds the best sets so
    far with one pixel exchanged or coloured anew, the sets of the lowest bounds, and sets put together from randomly
    disturbed ones. All colours are corners of the colour cube: there the changes are largest.

    Parameters
    ----------
    give_up : whether a search of one pixel ends by itself once no change is left that might reach the goal, by the
        surrogate's bounds. One of several pixels never does: there is always another set.
    by_image : whether the image tells which changes are strong (:meth:`look`); else all are taken for equally strong.
    """

    objective = "gaps"

    def __init__(
        self, places: int, shape: tuple[int, int, int], pixels: int, *, give_up: bool = False, by_image: bool = True
    ) -> None:
        super().__init__(places, shape, pixels)
        self.give_up, self.by_image = give_up, by_image
        self.palette = corners(shape[0])
        self.length = max(1.5, min(shape[1:]) / 16)
        self.sites: list[_Place | None] = [None] * places
        self._asked: list[tuple[int, list[Whole], int]] = []
        """Places, what was asked of each last, and how much of that was its descent's, which comes first."""
        self._images: list[NDArray[np.uint8] | None] = [None] * places

    def look(self, place: int, image: NDArray[np.uint8], starts: NDArray[np.uint8] | None) -> None:  # noqa: ARG002
        self._images[place] = image if self.by_image else None

    def start(self, place: int, seed: str) -> None:
        self.start_from(place, seed, [])

    def start_from(self, place: int, seed: str, first: list[Whole]) -> None:
        """Begin a search that asks the candidates ``first``, each ``(d, 3)``, before anything else."""
        _, height, width = self.shape
        image = self._images[place]
        strength = None if image is None else strengths(image, self.palette)
        surrogate = Surrogate(height, width, self.palette, self.length, strength=strength)
        site = _Place(seed, surrogate, [])
        probes = [] if image is None else strongest(surrogate, self.pixels)
        probes = probes or on_lattice(self.shape, self.pixels, len(self.palette), self.length, generator(seed, 0))
        site.queue = self._fresh(site, [*first, *probes], None)
        self.sites[place] = site

    def extended(self, place: int, pixels: int, most: int, seed: str) -> list[Whole]:
        """The best sets of the search at ``place`` with what it expects most of added, up to ``pixels`` pixels.

        At most ``most`` candidates ``(pixels, 3)``, for another search to start from; none without an answer so far.
        """
        site = self.sites[place]
        if site is None or not site.best:
            return []
        with one_thread():
            expected = site.surrogate.expected(1)
        assert expected is not None
        change, unsure = expected.change[0], BOLD * expected.scale[0] * expected.spread
        top = lowest(change - unsure, min(change.size, self._short(pixels) + pixels))
        at, draws = tuple(top.T), generator(seed, 1)
        found: list[Whole] = []
        for turn, (_, base) in enumerate(site.best):
            count = most - most // 3 if turn == 0 else most // 3
            score = change[at] + unsure[at] * draws.standard_normal((count, len(top)))
            score[0] = change[at]
            taken = (base[:, 0] * self.shape[2] + base[:, 1])[:, None] == top[:, 0] * self.shape[2] + top[:, 1]
            score[:, taken.any(axis=0)] = np.inf
            added = self._together(top, score, pixels - self.pixels)
            found += [np.concatenate([base, one]) for one in added]
        return found[:most]

    def asked_last(self) -> list[Whole]:
        """The candidates asked last, each ``(d, 3)``: row, column and number of the colour of each pixel."""
        return [candidate for _, part, _ in self._asked for candidate in part]

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        self._asked, kept = [], []
        for place, site in enumerate(self.sites):
            room = min(int(limits[place]), ASK)
            if site is None or site.over or room <= 0:
                continue
            if not site.queue:
                with one_thread():
                    self._plan(site)
            part, site.queue = site.queue[:room], site.queue[room:]
            owned = min(site.own, len(part))
            site.own -= owned
            kept += [self.pixels - 1] * owned + [0] * (len(part) - owned)
            if not part:
                site.over = True
                continue
            site.asked += len(part)
            self._asked.append((place, part, owned))
        chosen = np.array(self.asked_last(), np.int64)
        chosen = chosen.reshape(-1, self.pixels, 3)
        places = np.repeat([place for place, _, _ in self._asked], [len(part) for _, part, _ in self._asked])
        rows, columns = chosen[..., 0].astype(np.int32), chosen[..., 1].astype(np.int32)
        edits = Edits(rows, columns, colours_of(chosen[..., 2], self.palette), kept=np.array(kept, np.int32))
        return Asked(edits, places.astype(np.int64))

    def tell(self, told: NDArray[np.float64]) -> None:
        start = 0
        for place, part, owned in self._asked:
            site = self.sites[place]
            assert site is not None
            gaps = told[start : start + len(part)]
            start += len(part)
            # A row without scores ends its unit; the model is not to be spoilt by it all the same.
            known = np.isfinite(gaps.min(axis=1))
            if not known.any():
                continue
            entries, gaps = np.stack(part)[known], gaps[known]
            margins = gaps.min(axis=1)
            # A descent has its own model: sets that are alike but for one pixel would fill the other one.
            own = np.arange(len(part))[known] < owned
            if own.any() and site.descent is not None:
                with one_thread():
                    site.descent.tell(entries[own], gaps[own])
            corner = (entries[..., 2] < len(self.palette)).all(axis=1) & ~own
            if corner.any():
                with one_thread():
                    site.surrogate.add(entries[corner], gaps[corner])
            for number in np.argsort(margins, kind="stable")[:BASES].tolist():
                site.best.append((float(margins[number]), entries[number]))
            site.best = sorted(site.best, key=lambda one: one[0])[:BASES]
            self._progress(site)

    def exhausted(self, place: int) -> bool:
        site = self.sites[place]
        return site is not None and site.over

    def _progress(self, site: _Place) -> None:
        """Note whether the margin has moved."""
        best = site.best[0][0]
        if not site.step:
            site.step = PROGRESS * float(site.surrogate.gaps.min(axis=1).std())
        if best < site.reached - site.step:
            site.reached, site.at = best, site.asked

    def _plan(self, site: _Place) -> None:
        """Fill the queue by what has been learnt."""
        site.rounds += 1
        draws = generator(site.seed, site.rounds)
        few, many = BATCHES
        batch = min(many, max(few, site.asked // 8))
        # A descent goes on by a model of its own.
        if site.descent is not None and self._descend(site, site.descent, batch):
            return
        expected = site.surrogate.expected(CLASSES)
        if expected is None:
            site.queue = self._fresh(site, self._anything(site, draws, batch), batch)
            return
        if self.pixels > 1 and site.asked - max(site.at, site.since) >= STALL:
            margin, best = site.best[0]
            best = self._nearest(best)
            order = np.argsort(-change_of_each(expected, best), kind="stable")
            site.descent = Descent(best, margin, expected, site.surrogate, order)
            if self._descend(site, site.descent, batch):
                return
        if self.pixels == 1:
            bound = (expected.level[:, None, None, None] + expected.change).min(axis=0)
            if site.asked >= FIRST and site.best[0][0] > 0:
                possible = np.where(expected.spread > 0, bound - CAUTION * expected.scale.mean() * expected.spread, 0)
                if possible.min() >= 0 and (self._may_end(site, expected) or self._follow(site)):
                    return
            unsure = BOLD * expected.scale.mean() * expected.spread
            # As many as must hold a batch of new ones; none is left once every change was tried.
            top = lowest(bound - unsure, min(bound.size, len(site.tried) + about(batch, self.length)))
            top = top[[one.tobytes() not in site.tried for one in top]]
            candidates = list(site.surrogate.apart(top, bound, unsure, batch)[:, None])
        else:
            candidates = self._sets(site, draws, expected, batch)
        site.queue = self._fresh(site, candidates, batch)
        for _ in range(TRIES):
            if not site.queue:
                site.queue = self._fresh(site, self._anything(site, draws, batch), batch)

    def _may_end(self, site: _Place, expected: Expected) -> bool:
        """Whether the search may give up and the goal is not so near that more questions are worth it all the same."""
        share, most = NEAR
        near = site.asked < most and site.best[0][0] < share * float(expected.scale[0])
        return self.give_up and not near

    def _follow(self, site: _Place) -> bool:
        """Fill the queue with what lies beside the best leads; False where enough was asked for that."""
        leads, most = LEADS
        if site.followed >= most:
            return False
        known = site.surrogate
        found = beside_leads(
            known.entries[:, 0], known.gaps.min(axis=1), self.shape[1:], self.length, leads,
            lambda candidates: self._fresh(site, candidates, None),
        )  # fmt: skip
        site.queue = found
        site.followed += len(found)
        return bool(found)

    def _descend(self, site: _Place, descent: Descent, batch: int) -> bool:
        """Fill the queue by a descent; False once it is over."""
        while True:
            found = descent.candidates(batch)
            if not len(found):
                site.descent, site.since = None, site.asked
                return False
            fresh = self._fresh(site, list(found), None)
            if fresh:
                site.queue, site.own = fresh, len(fresh)
                return True

    def _sets(self, site: _Place, draws: np.random.Generator, expected: Expected, batch: int) -> list[Whole]:
        """Candidates of several pixels."""
        classes = len(expected.classes)
        top = lowest(
            (expected.change / expected.scale[:, None, None, None]).min(axis=0) - BOLD * expected.spread,
            min(expected.spread.size, self._short(self.pixels)),
        )
        at = tuple(top.T)
        change = expected.change[:, *at]
        unsure = expected.scale[:, None] * expected.spread[at]
        bound = change - BOLD * unsure
        # The classes whose best sets are expected to come closest.
        greedy = self._together(top, np.concatenate([change, bound]), self.pixels)
        found = list(greedy)
        for turn, (_, best) in enumerate(site.best):
            gap = int(np.argmin(expected.level + change_of(expected, self._nearest(best))))
            found += self._exchanges(best, top, expected.change[gap], bound[gap], round(EXCHANGES[turn] * batch))
        share = np.array(SHARES[:classes])
        which = draws.choice(classes, 2 * batch, p=share / share.sum())
        disturbed = change[which] + BOLD * unsure[which] * draws.standard_normal((len(which), len(top)))
        return found + list(self._together(top, disturbed, self.pixels))

    def _short(self, pixels: int) -> int:
        """How many single changes sets of this many pixels are made from: at least at twice as many positions."""
        return max(SHORTLIST, 2 * len(self.palette) * pixels)

    def _together(self, top: Whole, score: Reals, pixels: int) -> Whole:
        """For each row of ``score (S, T)`` the best changes at distinct positions, ``(S, pixels, 3)``, least first."""
        where = top[:, 0] * self.shape[2] + top[:, 1]
        left, every = score.copy(), np.arange(len(score))
        chosen = np.zeros((len(score), pixels), np.int64)
        for pixel in range(pixels):
            best = left.argmin(axis=1)
            # Fewer positions on the list than pixels: the last one again, which changes nothing more.
            none = ~np.isfinite(left[every, best])
            if pixel:
                best = np.where(none, chosen[:, pixel - 1], best)
            chosen[:, pixel] = best
            left[where[best][:, None] == where] = np.inf
        return top[chosen]

    def _exchanges(self, best: Whole, top: Whole, change: Reals, bound: Reals, most: int) -> list[Whole]:
        """The best set with one pixel replaced: by turns the two that are expected to do least."""
        order = np.argsort(-change[tuple(self._nearest(best).T)], kind="stable")[:2]
        found: list[Whole] = []
        for turn, index in enumerate(np.argsort(bound, kind="stable").tolist()):
            new_pixel = top[index]
            same = np.flatnonzero((best[:, :2] == new_pixel[:2]).all(1))
            entry = int(same[0]) if len(same) else int(order[turn % len(order)])
            if (best[entry] == new_pixel).all():
                continue
            new = best.copy()
            new[entry] = new_pixel
            found.append(new)
            if len(found) == most:
                break
        return found

    def _anything(self, site: _Place, draws: np.random.Generator, batch: int) -> list[Whole]:
        """Random candidates of any colours, where nothing better is left to ask: half of them near the best so far."""
        channels, height, width = self.shape
        size = (8 * batch, self.pixels)
        colours = draws.integers(0, 256, (*size, channels))
        entries = np.stack(
            [draws.integers(0, height, size), draws.integers(0, width, size), colour_numbers(colours, self.palette)], -1
        )
        for number in range(0, len(entries) if site.best else 0, 2):
            base = site.best[int(draws.integers(len(site.best)))][1]
            new = int(draws.integers(self.pixels))
            kept = np.delete(np.arange(self.pixels), new)
            entries[number, kept] = base[kept]
            # By turns another colour for one of its pixels, and another pixel for it.
            if number % 4 == 0:
                entries[number, new, :2] = base[new, :2]
        where = np.sort(entries[..., 0] * width + entries[..., 1], axis=1)
        return list(entries[(where[:, 1:] > where[:, :-1]).all(axis=1)])

    def _nearest(self, entries: Whole) -> Whole:
        """A set ``(d, 3)`` with each colour in place by the nearest corner, which is what the surrogate knows of."""
        corner = colour_numbers(255 * (colours_of(entries[:, 2], self.palette) > 127), self.palette)
        return np.concatenate([entries[:, :2], corner[:, None]], axis=1)

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


def change_of_each(expected: Expected, entries: Whole) -> Reals:
    """What each change of a set ``(d, 3)`` is expected to add to the gap of the first class, ``(d,)``."""
    each: Reals = expected.change[0, entries[:, 0], entries[:, 1], entries[:, 2]]
    return each


def change_of(expected: Expected, entries: Whole) -> Reals:
    """What a set of changes ``(d, 3)`` is expected to add to each gap, ``(M,)``."""
    total: Reals = expected.change[:, entries[:, 0], entries[:, 1], entries[:, 2]].sum(axis=1)
    return total
