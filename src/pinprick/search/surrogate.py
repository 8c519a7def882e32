"""A model of what each pixel change does to the scores, learnt from the candidates scored so far.

Gaussian processes over single-pixel changes (position, colour), one for each class that may overtake. What a candidate
of several pixels does is taken for the sum of what its pixels do alone: far from exact, and enough to tell where to ask
next. Nearby positions and like colours act alike, which is why a few hundred questions tell most of what thousands do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from threadpoolctl import ThreadpoolController

from pinprick.search.geometry import Coarse, Geometry, Reals, Singles, Whole

NOISE = 0.05
"""Variance of what the model does not explain, a pixel, against a variance of 1 of the change itself."""
REACH = 4.0
"""The spread is taken to be all there is beyond this many lengths."""
PAIRS = 2**20
"""Pairs of changes whose likeness is looked up one by one; of more the sums are made as convolutions."""
LARGEST_SINGLE = 1e30
"""Gaps beyond this are not computed with in single precision."""
RANK = 1e-9
"""Eigenvalues of the likeness of colours up to this are rounding."""
PAIRS_A_POSITION = 64
"""On a coarse grid, where images are large: pairs that cost as much to look up as a position's share of a convolution,
a candidate."""


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """A context in which linear algebra takes one thread.

    The matrices here are small: more threads cost many times what they save while a network takes the cores as well,
    and results could differ in the last bit with their number.
    """
    context: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return context


def colour_kernel(palette: NDArray[np.uint8]) -> Reals:
    """How alike changes to two colours are, ``(P, P)``, 1 on the diagonal.

    Parts: any change at all (0.45), brightness (0.3), the channels one by one (0.25). Each is a kernel of its own.
    """
    colours = palette.astype(np.float64) / 255
    bright = np.abs(colours.mean(1)[:, None] - colours.mean(1))
    apart = np.abs(colours[:, None] - colours).mean(2)
    kernel: Reals = 0.45 + 0.3 * (1 - bright) + 0.25 * (1 - apart)
    return kernel


@dataclass(frozen=True)
class Expected:
    """What a model expects of every single change.

    Parameters
    ----------
    classes : ``(M,)`` the gaps that it is about, the one that came closest to 0 first; -1 where only their least is.
    change : ``(M, H, W, P)`` what the change adds to each of them; lower is better.
    spread : ``(H, W, P)`` how unsure that is (standard deviation), in units of ``scale``.
    scale : ``(M,)`` standard deviation of each gap over the candidates so far, 1 where they are all equal.
    level : ``(M,)`` of each gap what no change at all would leave, as far as the model can tell.

    Where a coarse grid is used, all but ``classes`` are in single precision.
    """

    classes: Whole
    change: NDArray[Any]
    spread: NDArray[Any]
    scale: NDArray[Any]
    level: NDArray[Any]


class Surrogate:
    """The model of one unit.

    Parameters
    ----------
    height, width : of the image, in pixels.
    palette : ``(P, C)`` uint8, the colours that changes are made to.
    length : pixels over which the likeness of two positions falls to 1/e.
    strength : ``(H, W, P)`` over 0, how much each change is thought to do before anything is known, to one side or the
        other, relative to the others; the same of all where it is None.
    most : observations it is fitted to, at most; the best and the latest are kept.
    """

    def __init__(
        self,
        height: int,
        width: int,
        palette: NDArray[np.uint8],
        length: float,
        *,
        strength: Reals | None = None,
        most: int = 768,
    ) -> None:
        self.height, self.width, self.length, self.most = height, width, length, most
        self.colours = colour_kernel(palette)
        self.strength: Reals = np.ones((height, width, len(palette))) if strength is None else strength
        self.geometry = Geometry.of(height, width, length)
        self.entries: Whole = np.zeros((0, 0, 3), np.int64)
        """``(n, d, 3)``: row, column and colour of each pixel of each observation."""
        self.gaps: Reals = np.zeros((0, 0))
        """``(n, K)`` what was told of them; lower is better."""
        precision = np.float64 if self.geometry.coarse is None else np.float32
        self.known: NDArray[Any] = np.zeros((height, width, len(palette)), precision)
        """The likeness of each change to the nearest that was tried, 0 .. 1."""
        self._factor: Reals = np.zeros((0, 0))
        """Lower triangle of the covariance of the observations; the first n rows and columns are in use."""

    def fresh(self) -> Surrogate:
        """An empty model of the same images."""
        empty = copy(self)
        empty.entries, empty.gaps = np.zeros((0, 0, 3), np.int64), np.zeros((0, 0))
        empty.known, empty._factor = np.zeros_like(self.known), np.zeros((0, 0))
        return empty

    def add(self, entries: Whole, gaps: Reals) -> None:
        """Observe candidates ``(n, d, 3)`` and their ``gaps (n, K)``, K always the same."""
        if not len(self.entries):
            self.entries, self.gaps = self.entries.reshape(0, *entries.shape[1:]), gaps[:0]
        if len(self.gaps) + len(gaps) > self.most:
            self._forget(len(self.gaps) + len(gaps) - self.most)
        self._extend(entries)
        self.entries = np.concatenate([self.entries, entries])
        self.gaps = np.concatenate([self.gaps, gaps])
        # One pixel of several tells less about itself than one alone.
        share = float(entries.shape[1]) ** -0.25
        reach = int(np.ceil(REACH * self.length))
        for row, column, colour in np.unique(entries.reshape(-1, 3), axis=0).tolist():
            top, left = max(0, row - reach), max(0, column - reach)
            window = self.known[top : row + reach + 1, left : column + reach + 1]
            rows = np.abs(np.arange(top, top + window.shape[0]) - row)
            columns = np.abs(np.arange(left, left + window.shape[1]) - column)
            like = (share * self.geometry.near[np.ix_(rows, columns)]).astype(self.known.dtype)
            np.maximum(window, like[:, :, None] * self.colours[colour].astype(self.known.dtype), out=window)

    def expected(self, most: int) -> Expected | None:
        """What each single change is expected to do to the ``most`` gaps that came closest to 0.

        None without an observation.
        """
        n, pixels, _ = self.entries.shape
        if not n:
            return None
        usable = np.isfinite(self.gaps).all(axis=0)
        if not usable.any():
            gaps, classes = self.gaps.min(axis=1, keepdims=True), np.array([-1])
        else:
            least = np.where(usable, self.gaps.min(axis=0), np.inf)
            classes = np.argsort(least, kind="stable")[: min(most, int(usable.sum()))]
            gaps = self.gaps[:, classes]
        scale = gaps.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        told = (gaps - gaps.mean(axis=0)) / scale
        weights = linalg.cho_solve((self._factor[:n, :n], True), told, check_finite=False)
        level = gaps.mean(axis=0)
        # Against the strengths of those asked, which the scale is of.
        usual = np.sqrt((self._strengths(self.entries) ** 2).mean())
        spread = (self.strength / usual).astype(self.known.dtype) * np.sqrt(np.maximum(1 - self.known**2, 0))
        if self.geometry.coarse is not None and np.abs(gaps).max() <= LARGEST_SINGLE:
            coarsely = self._coarsely(self.geometry.coarse, weights * scale)
            return Expected(classes, coarsely, spread, scale.astype(np.float32), level.astype(np.float32))
        # The weights as one picture a gap and colour: what they add up to at each position is a convolution.
        rows, columns, colours = self.entries.reshape(-1, 3).T
        pictures = np.zeros((self.height, self.width, len(self.colours), len(classes)))
        strengths = self._strengths(self.entries).ravel()
        np.add.at(pictures, (rows, columns, colours), strengths[:, None] * np.repeat(weights, pixels, axis=0))
        mixed = np.einsum("pq,hwqm->mphw", self.colours, pictures)
        change = np.moveaxis(self.geometry.spread_out(mixed), 1, 3) * self.strength * scale[:, None, None, None]
        return Expected(classes, change, spread, scale, level)

    def apart(self, top: Whole, level: NDArray[Any], unsure: NDArray[Any], count: int) -> Whole:
        """Up to ``count`` of the changes ``top (T, 3)`` that have the lowest bounds, each given those before it.

        To ask one change makes those like it less unsure, so that of a cluster only one or two are taken.

        Parameters
        ----------
        level : ``(H, W, P)`` what is expected of each change.
        unsure : ``(H, W, P)`` how far below that it may be, as long as nothing more is asked.
        """
        at = tuple(top.T)
        expected, known = level[at], self.known[at]
        whole = unsure[at] / np.sqrt(np.maximum(1 - known**2, RANK))
        bound = expected - unsure[at]
        chosen: list[int] = []
        for _ in range(min(count, len(top))):
            one = int(bound.argmin())
            chosen.append(one)
            near = self.geometry.near[np.abs(top[:, 0] - top[one, 0]), np.abs(top[:, 1] - top[one, 1])]
            known = np.maximum(known, near * self.colours[top[:, 2], top[one, 2]])
            bound = expected - whole * np.sqrt(np.maximum(1 - known**2, 0))
            bound[chosen] = np.inf
        return top[chosen]

    def _coarsely(self, grid: Coarse, weights: Reals) -> Singles:
        """What changes are expected to do, ``(M, H, W, P)``, from the weights ``(n, M)`` of the observations."""
        pixels, classes = self.entries.shape[1], weights.shape[1]
        rows, columns, colours = self.entries.reshape(-1, 3).T
        # The likeness of colours as a product: fewer pictures than there are colours.
        values, vectors = linalg.eigh(self.colours)
        parts = (vectors * np.sqrt(np.maximum(values, 0)))[:, values > RANK].astype(np.float32)
        strengths = self._strengths(self.entries).reshape(-1, 1)
        each = (strengths * np.repeat(weights, pixels, axis=0)).astype(np.float32)[:, :, None]
        each = each * parts[colours][:, None, :]
        around = grid.spread_out(rows, columns, each.reshape(len(rows), -1))
        around = around.reshape(classes, parts.shape[1], -1)
        change: Singles = np.matmul(np.swapaxes(around, 1, 2), parts.T).reshape(classes, *self.known.shape)
        change *= self.strength.astype(np.float32)
        return change

    def _extend(self, entries: Whole) -> None:
        """Let the factor hold the covariance with candidates ``(n, d, 3)`` as well."""
        old, new, pixels = len(self.entries), len(entries), entries.shape[1]
        if old + new > len(self._factor):
            larger = np.zeros((max(self.most, old + new),) * 2)
            larger[:old, :old] = self._factor[:old, :old]
            self._factor = larger
        own = self._likeness(entries, entries)
        own[np.diag_indices(new)] += NOISE * pixels
        if old:
            across = linalg.solve_triangular(
                self._factor[:old, :old], self._likeness(self.entries, entries), lower=True, check_finite=False
            )
            self._factor[old : old + new, :old] = across.T
            own -= across.T @ across
        self._factor[old : old + new, old : old + new] = np.linalg.cholesky(own)

    def _likeness(self, one: Whole, other: Whole) -> Reals:
        """Covariance of two lists of candidates ``(n, d, 3)`` and ``(m, d, 3)``, ``(n, m)``."""
        (n, pixels, _), m = one.shape, len(other)
        first, second = one.reshape(-1, 3), other.reshape(-1, 3)
        if len(first) * len(second) <= PAIRS:
            return self._by_pairs(first, second, (n, pixels, m))
        found = np.empty((n, m))
        if self.geometry.coarse is not None and n * pixels * pixels <= PAIRS_A_POSITION * self.height * self.width:
            together = max(1, PAIRS // (len(first) * pixels))
            for start in range(0, m, together):
                part = other[start : start + together]
                found[:, start : start + together] = self._by_pairs(first, part.reshape(-1, 3), (n, pixels, len(part)))
            return found
        for number, candidate in enumerate(other):
            picture = np.zeros((self.height, self.width, len(self.colours)))
            np.add.at(picture, tuple(candidate.T), self._strengths(candidate))
            around = self.geometry.spread_out(np.moveaxis(picture @ self.colours, 2, 0))
            alike = self._strengths(first) * around[first[:, 2], first[:, 0], first[:, 1]]
            found[:, number] = alike.reshape(n, pixels).sum(axis=1)
        return found

    def _strengths(self, entries: Whole) -> Reals:
        """Of changes ``(…, 3)``, ``(…)``."""
        found: Reals = self.strength[entries[..., 0], entries[..., 1], entries[..., 2]]
        return found

    def _by_pairs(self, first: Whole, second: Whole, shape: tuple[int, int, int]) -> Reals:
        """As :meth:`_likeness`, pair by pair, of changes ``(n * d, 3)`` and ``(m * d, 3)``; ``shape`` is n, d, m."""
        n, pixels, m = shape
        rows = np.abs(first[:, None, 0] - second[:, 0])
        columns = np.abs(first[:, None, 1] - second[:, 1])
        alike = self.geometry.near[rows, columns] * self.colours[first[:, None, 2], second[:, 2]]
        alike *= self._strengths(first)[:, None] * self._strengths(second)
        summed: Reals = alike.reshape(n, pixels, m, pixels).sum(axis=(1, 3))
        return summed

    def _forget(self, least: int) -> None:
        """Leave out ``least`` observations or more: of the older half those farthest from the goal."""
        n = len(self.gaps)
        half = min(n, self.most // 2)
        kept = max(0, min(self.most // 4, n - least - half))
        closest = np.argsort(self.gaps[: n - half].min(axis=1), kind="stable")[:kept]
        chosen = np.concatenate([np.sort(closest), np.arange(n - half, n)])
        # Their covariance is in the factor: looking their likeness up again took most of a long search's time.
        rows = self._factor[chosen, :n]
        self._factor[: len(chosen), : len(chosen)] = np.linalg.cholesky(rows @ rows.T)
        self.entries, self.gaps = self.entries[chosen], self.gaps[chosen]


def lowest(bound: Reals, count: int) -> Whole:
    """Where the ``count`` lowest values of ``bound (H, W, P)`` are, lowest first, ``(count, 3)``."""
    flat = bound.ravel()
    first = np.argpartition(flat, count - 1)[:count] if count < flat.size else np.arange(flat.size)
    # Ties by place, so that the order does not hang on how the partition went.
    order = first[np.lexsort((first, flat[first]))]
    return np.stack(np.unravel_index(order, bound.shape), 1).astype(np.int64)
