"""Which positions of a map may differ from the base image's, for many candidates at once, and what reads what.

The positions of one candidate are rows of a table, in the order of the map; the candidates follow one another. Where
at most one pixel changed they fill a box, which needs no table of the map; the union of several is kept as a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from pinprick.incremental.ops import Field, Mean, Node, Pair

_KEPT = 1 << 27
"""Bytes of lists that are kept, of all layers together, before all are forgotten."""

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


def starts_of(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """``(n + 1,)`` where each run of ``counts (n,)`` begins, and at the end where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True)
class Reads:
    """What the outputs of a layer read of its dirty inputs, output after output, and for each tap after tap.

    Parameters
    ----------
    which : ``(pairs,)`` place of the input among the dirty ones.
    tap : ``(pairs,)`` by which tap of the kernel, ``row * kw + column``.
    counts : ``(outputs,)`` how many each output reads.
    """

    which: Ints
    tap: Ints
    counts: Ints


class Dirty(ABC):
    """Positions of a map ``(height, width)`` that may differ, for ``n`` candidates."""

    def __init__(self, n: int, size: Pair) -> None:
        self.n, self.size = n, size

    @property
    @abstractmethod
    def counts(self) -> Ints:
        """``(n,)`` positions of each candidate."""

    @property
    @abstractmethod
    def positions(self) -> Ints:
        """``(total,)`` row times width plus column, candidate after candidate, ascending within each."""

    @abstractmethod
    def look(self, candidates: Ints, rows: Ints, columns: Ints) -> tuple[Ints, Bools]:
        """Places in :attr:`positions` of points, and whether they are there at all.

        Parameters
        ----------
        candidates : ``(m,)``.
        rows, columns : ``(m, kh)`` and ``(m, kw)``; they may lie outside of the map.

        Returns
        -------
        Two arrays ``(m, kh, kw)``; the place is of no meaning where the point is not there.
        """

    @abstractmethod
    def reach(self, field: Field, size: Pair) -> Dirty:
        """The positions of a map of ``size`` that read one of these."""

    @abstractmethod
    def read_by(self, outputs: Dirty, field: Field) -> Reads:
        """Every pair of one of these and an output that reads it, in the order of :class:`Reads`."""

    @abstractmethod
    def union(self, other: Dirty) -> Dirty:
        """Positions of either; it may hold more."""

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """``(n + 1,)`` the first place of each candidate, and the number of all."""
        return starts_of(self.counts)

    @property
    def total(self) -> int:
        """Positions of all candidates."""
        return int(self.starts[-1])

    @cached_property
    def candidates(self) -> Ints:
        """``(total,)`` whose each position is."""
        return np.repeat(np.arange(self.n, dtype=np.int32), self.counts)


class Boxes(Dirty):
    """A box for each candidate; ``top, left, high, wide (n,)``, of no size where nothing changed."""

    def __init__(self, size: Pair, top: Ints, left: Ints, high: Ints, wide: Ints) -> None:
        super().__init__(len(top), size)
        none = (high <= 0) | (wide <= 0)
        self.top, self.left = top.astype(np.int32), left.astype(np.int32)
        self.high = np.where(none, 0, high).astype(np.int32)
        self.wide = np.where(none, 0, wide).astype(np.int32)

    @cached_property
    def counts(self) -> Ints:
        return self.high * self.wide

    @cached_property
    def positions(self) -> Ints:
        width = self.size[1]
        if not self.n:
            return np.zeros(0, np.int32)
        parts = [_box(high, wide, width) for high, wide in zip(self.high.tolist(), self.wide.tolist(), strict=True)]
        return np.concatenate(parts) + np.repeat(self.top * np.int32(width) + self.left, self.counts)

    def look(self, candidates: Ints, rows: Ints, columns: Ints) -> tuple[Ints, Bools]:
        own = candidates[:, None]
        rows = rows - self.top[own]
        columns = columns - self.left[own]
        # Below zero is a large number without its sign: one comparison for both ends.
        inside_rows = rows.view(np.uint32) < self.high[own].view(np.uint32)
        inside_columns = columns.view(np.uint32) < self.wide[own].view(np.uint32)
        first = rows * self.wide[own] + self.starts[own].astype(np.int32)
        return first[:, :, None] + columns[:, None, :], inside_rows[:, :, None] & inside_columns[:, None, :]

    def read_by(self, outputs: Dirty, field: Field) -> Reads:
        if not isinstance(outputs, Boxes):
            return Masks(self.mask).read_by(outputs, field)
        # What a box of outputs reads of a box of inputs depends on their sizes and on how they lie to each other.
        table = np.stack(
            [
                self.high,
                self.wide,
                outputs.high,
                outputs.wide,
                np.where(outputs.high > 0, outputs.top * field.stride[0] - field.padding[0] - self.top, 0),
                np.where(outputs.high > 0, outputs.left * field.stride[1] - field.padding[1] - self.left, 0),
            ],
            axis=1,
        )
        order = _LISTS.read(field, [tuple(row) for row in table.tolist()])
        if not order:
            return Reads(*(np.zeros(0, np.int32),) * 3)
        pairs = [len(one.which) for one in order]
        which = np.concatenate([one.which for one in order]) + np.repeat(self.starts[:-1].astype(np.int32), pairs)
        return Reads(which, np.concatenate([one.tap for one in order]), np.concatenate([one.counts for one in order]))

    def reach(self, field: Field, size: Pair) -> Dirty:
        if field.same and size == self.size:
            return self
        top, high = self._axis(self.top, self.high, field, 0, size[0])
        left, wide = self._axis(self.left, self.wide, field, 1, size[1])
        return Boxes(size, top, left, high, wide)

    @staticmethod
    def _axis(first: Ints, length: Ints, field: Field, axis: int, size: int) -> tuple[Ints, Ints]:
        step, before = field.stride[axis], field.padding[axis]
        last = first + length - 1
        low = -((field.dilation[axis] * (field.kernel[axis] - 1) - first - before) // step)
        low = np.maximum(low, 0)
        high = np.minimum((last + before) // step, size - 1)
        return low, np.where(length > 0, high - low + 1, 0)

    def union(self, other: Dirty) -> Dirty:
        if not isinstance(other, Boxes):
            return other.union(self)
        if other is self:
            return self
        mine, theirs = self.counts > 0, other.counts > 0
        far = np.iinfo(np.int32).max // 2
        low = [
            np.minimum(np.where(mine, a, far), np.where(theirs, b, far))
            for a, b in ((self.top, other.top), (self.left, other.left))
        ]
        high = [
            np.maximum(np.where(mine, a + la, 0), np.where(theirs, b + lb, 0))
            for a, la, b, lb in (
                (self.top, self.high, other.top, other.high),
                (self.left, self.wide, other.left, other.wide),
            )
        ]
        return Boxes(self.size, low[0], low[1], high[0] - low[0], high[1] - low[1])

    @cached_property
    def mask(self) -> Bools:
        """The same as a mask ``(n, height, width)``."""
        mask = np.zeros((self.n, self.size[0] * self.size[1]), bool)
        mask[self.candidates, self.positions] = True
        return mask.reshape(self.n, *self.size)


class Masks(Dirty):
    """Any positions: ``mask (n, height, width)``."""

    def __init__(self, mask: Bools) -> None:
        super().__init__(len(mask), (mask.shape[1], mask.shape[2]))
        self.mask = mask

    @cached_property
    def _found(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.flatnonzero(self.mask)
        return found

    @cached_property
    def counts(self) -> Ints:
        counts: Ints = np.count_nonzero(self.mask.reshape(self.n, -1), axis=1).astype(np.int32)
        return counts

    @cached_property
    def positions(self) -> Ints:
        return (self._found - self.candidates.astype(np.int64) * (self.size[0] * self.size[1])).astype(np.int32)

    @cached_property
    def _rank(self) -> Ints:
        rank = np.full(self.mask.size, -1, np.int32)
        rank[self._found] = np.arange(len(self._found), dtype=np.int32)
        return rank

    def look(self, candidates: Ints, rows: Ints, columns: Ints) -> tuple[Ints, Bools]:
        height, width = self.size
        inside = (rows.view(np.uint32) < height)[:, :, None] & (columns.view(np.uint32) < width)[:, None, :]
        first = candidates.astype(np.int64)[:, None] * (height * width) + rows * width
        found = self._rank[np.where(inside, first[:, :, None] + columns[:, None, :], 0)]
        return found, inside & (found >= 0)

    def read_by(self, outputs: Dirty, field: Field) -> Reads:
        if outputs is self and field.same:
            own = np.arange(self.total, dtype=np.int32)
            return Reads(own, np.zeros(self.total, np.int32), np.ones(self.total, np.int32))
        # With room around the map no tap falls beside it, and one number leads from an output to each of its taps.
        size, before = [], []
        for axis in (0, 1):
            low = -field.padding[axis]
            high = low + (outputs.size[axis] - 1) * field.stride[axis]
            high += (field.kernel[axis] - 1) * field.dilation[axis]
            before.append(max(0, -low))
            size.append(before[axis] + max(self.size[axis], high + 1))
        rank = np.full((self.n, size[0], size[1]), -1, np.int32)
        inner = rank[:, before[0] : before[0] + self.size[0], before[1] : before[1] + self.size[1]]
        inner[self.mask] = np.arange(self.total, dtype=np.int32)
        row, column = np.divmod(outputs.positions, np.int32(outputs.size[1]))
        row = row * field.stride[0] - field.padding[0] + before[0]
        column = column * field.stride[1] - field.padding[1] + before[1]
        first = (outputs.candidates.astype(np.int64) * size[0] + row) * size[1] + column
        offsets = [
            y * field.dilation[0] * size[1] + x * field.dilation[1]
            for y in range(field.kernel[0])
            for x in range(field.kernel[1])
        ]
        found = rank.reshape(-1)[first[:, None] + np.array(offsets)]
        pairs = np.flatnonzero(found >= 0)
        output, tap = np.divmod(pairs, field.taps)
        counts = np.bincount(output, minlength=outputs.total)
        return Reads(found.reshape(-1)[pairs], tap.astype(np.int32), counts.astype(np.int32))

    def reach(self, field: Field, size: Pair) -> Dirty:
        if field.same and size == self.size:
            return self
        mask = self.mask
        for axis in (0, 1):
            mask = self._axis(mask, field, axis, size[axis])
        return Masks(mask)

    @staticmethod
    def _axis(mask: Bools, field: Field, axis: int, size: int) -> Bools:
        step, length = field.stride[axis], mask.shape[axis + 1]
        made = np.zeros((*mask.shape[: axis + 1], size, *mask.shape[axis + 2 :]), bool)
        for tap in range(field.kernel[axis]):
            shift = tap * field.dilation[axis] - field.padding[axis]
            first = max(0, -(shift // step))
            last = min(size, (length - 1 - shift) // step + 1)
            if last > first:
                at = [slice(None)] * 3
                to = [slice(None)] * 3
                at[axis + 1] = slice(first * step + shift, (last - 1) * step + shift + 1, step)
                to[axis + 1] = slice(first, last)
                made[tuple(to)] |= mask[tuple(at)]
        return made

    def union(self, other: Dirty) -> Dirty:
        assert isinstance(other, (Boxes, Masks))
        return self if other is self else Masks(self.mask | other.mask)


@lru_cache(maxsize=4096)
def _box(high: int, wide: int, width: int) -> Ints:
    """Positions of a box in a map of ``width`` columns, from its corner on."""
    rows, columns = np.arange(high, dtype=np.int32), np.arange(wide, dtype=np.int32)
    places: Ints = (rows[:, None] * np.int32(width) + columns).reshape(-1)
    return places


class _Lists:
    """What was found for each field, by the boxes' sizes and how they lie to each other."""

    def __init__(self) -> None:
        self.of: dict[Field, dict[tuple[int, ...], Reads]] = {}
        self.bytes = 0

    def read(self, field: Field, order: list[tuple[int, ...]]) -> list[Reads]:
        """What each position of a box of outputs reads of a box of inputs: :func:`_read_box`, kept."""
        kept = self.of.setdefault(field, {})
        made = []
        for boxes in order:
            found = kept.get(boxes)
            if found is None:
                found = kept[boxes] = _read_box(field, *boxes)
                self.bytes += found.which.nbytes + found.tap.nbytes + found.counts.nbytes
                if self.bytes > _KEPT:
                    self.forget()
            made.append(found)
        return made

    def forget(self) -> None:
        """Let go of all lists."""
        self.bytes = 0
        for one in list(self.of.values()):
            one.clear()


_LISTS = _Lists()


def _read_box(field: Field, high: int, wide: int, out_high: int, out_wide: int, row: int, column: int) -> Reads:
    """``row, column`` are those of the first output's first tap, in the box of inputs."""
    axes = []
    for axis, (length, count, start) in enumerate(((high, out_high, row), (wide, out_wide, column))):
        taps = np.arange(field.kernel[axis]) * field.dilation[axis]
        read = start + np.arange(count)[:, None] * field.stride[axis] + taps
        axes.append((read, (read >= 0) & (read < length)))
    (rows, rows_there), (columns, columns_there) = axes
    there = rows_there[:, None, :, None] & columns_there[None, :, None, :]
    place = rows[:, None, :, None] * wide + columns[None, :, None, :]
    taps = np.broadcast_to(np.arange(field.taps).reshape(1, 1, *field.kernel), there.shape)
    counts = np.count_nonzero(there.reshape(out_high * out_wide, field.taps), axis=1)
    return Reads(place[there].astype(np.int32), taps[there].astype(np.int32), counts.astype(np.int32))


def changed(size: Pair, rows: Ints, columns: Ints, counts: Ints) -> Dirty:
    """Where the images differ: ``rows, columns (n, d)``, of which the first ``counts (n,)`` count.

    Boxes where every candidate changes at most one pixel, masks otherwise.
    """
    n, d = rows.shape
    if d == 0 or counts.max(initial=0) <= 1:
        one = np.zeros(n, np.int32) if d == 0 else counts.astype(np.int32)
        top, left = (np.zeros(n, np.int32), np.zeros(n, np.int32)) if d == 0 else (rows[:, 0], columns[:, 0])
        return Boxes(size, top, left, one, one)
    mask = np.zeros((n, *size), bool)
    live = np.arange(d) < counts[:, None]
    mask[np.nonzero(live)[0], rows[live], columns[live]] = True
    return Masks(mask)


def spread_of(node: Node, spread: Mapping[str, Dirty]) -> Dirty:
    """Where a node's values may differ, from where its inputs' may."""
    assert node.op is not None
    given = [spread[name] for name in node.inputs]
    if isinstance(node.op, Mean):
        zero, one = np.zeros(given[0].n, np.int32), np.ones(given[0].n, np.int32)
        return Boxes((1, 1), zero, zero, one, one)
    found = [one.reach(node.op.field, node.map) for one in given]
    union = found[0]
    for other in found[1:]:
        union = union.union(other)
    return union


def points(dirty: Dirty, field: Field) -> tuple[Ints, Ints]:
    """``(outputs, kh)`` rows and ``(outputs, kw)`` columns of the input that each dirty output reads."""
    width = np.int32(dirty.size[1])
    row = dirty.positions // width
    column = dirty.positions - row * width
    found = []
    for axis, own in ((0, row), (1, column)):
        offsets = np.arange(field.kernel[axis], dtype=np.int32) * np.int32(field.dilation[axis])
        start = own * np.int32(field.stride[axis]) - np.int32(field.padding[axis])
        found.append(start[:, None] + offsets[None, :])
    return found[0], found[1]
