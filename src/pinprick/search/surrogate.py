"""A model of what each pixel change does to the scores, learnt from the candidates scored so far.

Gaussian processes over single-pixel changes (position, colour), one for each class that may overtake. What a candidate
of several pixels does is taken for the sum of what its pixels do alone: far from exact, and enough to tell where to ask
next. Nearby positions and like colours act alike, which is why a few hundred questions tell most of what thousands do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg, sparse
from threadpoolctl import ThreadpoolController

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]
Whole = NDArray[np.int64]

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
COARSE_FROM = 6
"""Length from which a coarse grid is used, that of images of 96 pixels."""
NODES_A_LENGTH = 16
"""Of the coarse grid, about. With 8, plans at 227 x 227 take half the time; whether they are as good is not known."""


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
class Geometry:
    """What all models of one image size and length share.

    ``near (H, W)``: how alike two positions are, by rows and columns apart.
    """

    near: Reals
    length: float

    @staticmethod
    @lru_cache(maxsize=8)
    def of(height: int, width: int, length: float) -> Geometry:
        """For images of this size; likeness falls to 1/e over ``length`` pixels."""
        return Geometry(np.exp(-np.hypot(np.arange(height)[:, None], np.arange(width)) / length), length)

    @cached_property
    def convolution(self) -> Convolution:
        """With the likeness, position by position."""
        height, width = self.near.shape
        return Convolution.of(height, width, self.length)

    def spread_out(self, pictures: Reals) -> Reals:
        """Pictures ``(..., H, W)`` convolved with the likeness of positions."""
        return self.convolution(pictures)

    @cached_property
    def coarse(self) -> Coarse | None:
        """The coarse grid for images of this size, None for small ones."""
        if self.length < COARSE_FROM:
            return None
        height, width = self.near.shape
        return Coarse.of(height, width, self.length, max(1, round(self.length / NODES_A_LENGTH)))


@dataclass(frozen=True)
class Convolution:
    """Of pictures with exp(-distance/length).

    ``transform``: this likeness, laid out for a circular convolution over ``padded`` that does not wrap into the image,
    as its Fourier transform.
    """

    padded: tuple[int, int]
    transform: NDArray[np.complexfloating[Any, Any]]

    @staticmethod
    def of(height: int, width: int, length: float) -> Convolution:
        padded = (int(fft.next_fast_len(2 * height - 1, True)), int(fft.next_fast_len(2 * width - 1, True)))
        rows = np.minimum(np.arange(padded[0]), padded[0] - np.arange(padded[0]))
        columns = np.minimum(np.arange(padded[1]), padded[1] - np.arange(padded[1]))
        return Convolution(padded, fft.rfft2(np.exp(-np.hypot(rows[:, None], columns) / length)))

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Of pictures ``(..., H, W)``."""
        height, width = pictures.shape[-2:]
        whole: NDArray[Any] = fft.irfft2(fft.rfft2(pictures, self.padded) * self.transform, self.padded)
        return whole[..., :height, :width]


@dataclass(frozen=True)
class Coarse:
    """A coarse grid of nodes, ``stride`` pixels apart, on which large images are convolved in single precision.

    What lies between nodes counts to those around it by its distances (bilinear), and so is it read from them. The
    likeness changes little within a sixteenth of its length, but for the very tip of it; and what is known of changes
    next to one that was tried is looked up position by position all the same (:attr:`Surrogate.known`).

    ``rows (H, h)``, ``columns (W, w)``: the weights of the nodes for each row and column of the image.
    """

    stride: int
    rows: Singles
    columns: Singles
    convolution: Convolution

    @staticmethod
    def of(height: int, width: int, length: float, stride: int) -> Coarse:
        rows, columns = _hats(height, stride), _hats(width, stride)
        full = Convolution.of(rows.shape[1], columns.shape[1], length / stride)
        return Coarse(stride, rows, columns, Convolution(full.padded, full.transform.astype(np.complex64)))

    def spread_out(self, rows: Whole, columns: Whole, values: Singles) -> Singles:
        """Values ``(N, Q)`` at ``rows (N,)`` and ``columns (N,)``, convolved with the likeness: ``(Q, H, W)``."""
        high, wide = self.rows.shape[1], self.columns.shape[1]
        top, left = np.minimum(rows // self.stride, high - 2), np.minimum(columns // self.stride, wide - 2)
        places, shares = [], []
        for down in (0, 1):
            for right in (0, 1):
                places.append((top + down) * wide + left + right)
                shares.append(self.rows[rows, top + down] * self.columns[columns, left + right])
        count = len(rows)
        spread = sparse.csr_matrix(
            (np.concatenate(shares), (np.concatenate(places), np.tile(np.arange(count), 4))), (high * wide, count)
        )
        pictures = np.ascontiguousarray((spread @ values).T).reshape(-1, high, wide)
        around: Singles = self.convolution(pictures)
        if self.stride > 1:
            around = (self.rows @ around @ self.columns.T).astype(np.float32)
        return around


def _hats(size: int, stride: int) -> Singles:
    """The weights ``(size, nodes)`` of the nodes at 0, ``stride``, 2 ``stride`` ... for each of ``size`` places."""
    nodes = np.arange(0, size + stride - 1, stride)
    weights: Singles = np.maximum(1 - np.abs(np.arange(size)[:, None] - nodes) / stride, 0).astype(np.float32)
    return weights


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
    most : observations it is fitted to, at most; the best and the latest are kept.
    """

    def __init__(self, height: int, width: int, palette: NDArray[np.uint8], length: float, most: int = 768) -> None:
        self.height, self.width, self.length, self.most = height, width, length, most
        self.colours = colour_kernel(palette)
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
        if self.geometry.coarse is not None and np.abs(gaps).max() <= LARGEST_SINGLE:
            coarsely = self._coarsely(self.geometry.coarse, weights * scale)
            spread = np.sqrt(np.maximum(1 - self.known**2, 0))
            return Expected(classes, coarsely, spread, scale.astype(np.float32), level.astype(np.float32))
        # The weights as one picture a gap and colour: what they add up to at each position is a convolution.
        rows, columns, colours = self.entries.reshape(-1, 3).T
        pictures = np.zeros((self.height, self.width, len(self.colours), len(classes)))
        np.add.at(pictures, (rows, columns, colours), np.repeat(weights, pixels, axis=0))
        mixed = np.einsum("pq,hwqm->mphw", self.colours, pictures)
        change = np.moveaxis(self.geometry.spread_out(mixed), 1, 3) * scale[:, None, None, None]
        return Expected(classes, change, np.sqrt(np.maximum(1 - self.known**2, 0)), scale, level)

    def _coarsely(self, grid: Coarse, weights: Reals) -> Singles:
        """What changes are expected to do, ``(M, H, W, P)``, from the weights ``(n, M)`` of the observations."""
        pixels, classes = self.entries.shape[1], weights.shape[1]
        rows, columns, colours = self.entries.reshape(-1, 3).T
        # The likeness of colours as a product: fewer pictures than there are colours.
        values, vectors = linalg.eigh(self.colours)
        parts = (vectors * np.sqrt(np.maximum(values, 0)))[:, values > RANK].astype(np.float32)
        each = np.repeat(weights.astype(np.float32), pixels, axis=0)[:, :, None] * parts[colours][:, None, :]
        around = grid.spread_out(rows, columns, each.reshape(len(rows), -1))
        around = around.reshape(classes, parts.shape[1], -1)
        change: Singles = np.matmul(np.swapaxes(around, 1, 2), parts.T)
        return change.reshape(classes, *self.known.shape)

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
            np.add.at(picture, tuple(candidate.T), 1.0)
            around = self.geometry.spread_out(np.moveaxis(picture @ self.colours, 2, 0))
            found[:, number] = around[first[:, 2], first[:, 0], first[:, 1]].reshape(n, pixels).sum(axis=1)
        return found

    def _by_pairs(self, first: Whole, second: Whole, shape: tuple[int, int, int]) -> Reals:
        """As :meth:`_likeness`, pair by pair, of changes ``(n * d, 3)`` and ``(m * d, 3)``; ``shape`` is n, d, m."""
        n, pixels, m = shape
        rows = np.abs(first[:, None, 0] - second[:, 0])
        columns = np.abs(first[:, None, 1] - second[:, 1])
        alike = self.geometry.near[rows, columns] * self.colours[first[:, None, 2], second[:, 2]]
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
