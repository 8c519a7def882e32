"""One step of the network on the differences of a block of candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch

from pinprick.incremental.kernels import as_rows, bag, grown, in_pieces, new_rows
from pinprick.incremental.ops import (
    Affine,
    AveragePool,
    Channels,
    Field,
    MaxPool,
    Mean,
    Node,
    Pair,
    Pick,
    Pointwise,
    Sum,
)
from pinprick.incremental.parts import Part
from pinprick.incremental.windows import Dirty, Ints, points, spread_of, starts_of

_CACHE = 1 << 19
"""Bytes that a pool reads at a time."""
Values = Mapping[str, torch.Tensor]
"""The base image's value of each node, ``(1, C, H, W)`` or ``(1, C)``."""


def row_starts(counts: Ints, device: torch.device) -> torch.Tensor:
    """Where the lists of :func:`~pinprick.incremental.kernels.bag` start."""
    return torch.from_numpy(starts_of(counts)[:-1].astype(np.int32)).to(device)


class Block:
    """Some candidates on their way through the network.

    Parameters
    ----------
    slots : ``(n,)`` where the values of each candidate's base image are kept.
    """

    def __init__(self, slots: Ints, device: torch.device) -> None:
        self.slots, self.device = slots, device
        self.dirty: dict[str, Dirty] = {}
        self.rows: dict[str, torch.Tensor] = {}
        self._places: dict[int, tuple[Dirty, torch.Tensor]] = {}

    @property
    def n(self) -> int:
        """Candidates."""
        return len(self.slots)

    def places(self, dirty: Dirty) -> torch.Tensor:
        """``(total,)`` rows of the base tables at these positions."""
        kept = self._places.get(id(dirty))
        if kept is None:
            # The set is kept as well: its id may not pass to another one.
            kept = self._places[id(dirty)] = (dirty, self.index(self.base_rows(dirty)))
        return kept[1]

    def base_rows(self, dirty: Dirty) -> Ints:
        """As :meth:`places`, as an array."""
        area = dirty.size[0] * dirty.size[1]
        return (self.slots[dirty.candidates] * np.int32(area) + dirty.positions).astype(np.int32)

    def index(self, values: Ints) -> torch.Tensor:
        """Indices on the device."""
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int32)).to(self.device)

    def live(self, name: str) -> torch.Tensor:
        """The differences of a node without the spare rows behind them."""
        return self.rows[name][: self.dirty[name].total]


class Step(ABC):
    """Computes the differences of ``node`` from those of its inputs."""

    def __init__(self, node: Node, device: torch.device) -> None:
        self.node, self.device = node, device

    @property
    def name(self) -> str:
        """Of the node whose differences it computes."""
        return self.node.name

    @property
    def sources(self) -> tuple[str, ...]:
        """Nodes whose differences it reads."""
        return self.node.inputs

    @property
    def wanted(self) -> tuple[str, ...]:
        """Nodes whose values for the base image it keeps."""
        return ()

    @property
    def bytes_per_base(self) -> int:
        """Memory for one base image."""
        return 0

    def reserve(self, slots: int) -> None:  # noqa: B027 (most steps keep nothing)
        """Make room for ``slots`` base images; what is kept stays."""

    def load(self, slot: int, values: Values) -> None:  # noqa: B027
        """Keep what is needed of a base image."""

    def spread(self, block: Block) -> Dirty:
        """Where the output may differ."""
        return spread_of(self.node, block.dirty)

    @abstractmethod
    def run(self, block: Block) -> None:
        """Put the differences into ``block.rows``; ``block.dirty`` is there already."""

    def made(self, block: Block, channels: int | None = None) -> torch.Tensor:
        """An empty table for the output."""
        rows = new_rows(block.dirty[self.name].total, channels or self.channels, self.device)
        block.rows[self.name] = rows
        return rows[: block.dirty[self.name].total]

    @property
    def channels(self) -> int:
        """Of the output."""
        return self.node.shape[0]


class Table:
    """Values of base images, row by row: ``spare`` rows of work, then ``area`` rows for each image."""

    def __init__(self, area: int, channels: int, device: torch.device, spare: int = 0) -> None:
        self.area, self.channels, self.spare = area, channels, spare
        self.rows = torch.empty((spare, channels), device=device)

    @property
    def bytes_per_base(self) -> int:
        """Memory for one image."""
        return 4 * self.area * self.channels

    @property
    def base(self) -> torch.Tensor:
        """The rows of all images."""
        return self.rows[self.spare :]

    def reserve(self, slots: int) -> None:
        """Make room for ``slots`` images."""
        self.rows = grown(self.rows, self.spare + slots * self.area)

    def widen(self, spare: int) -> None:
        """Make room for ``spare`` rows of work."""
        if spare > self.spare:
            # With room for more, so that blocks of slowly growing size do not move the table each time.
            spare += spare // 4
            rows = torch.empty((len(self.base) + spare, self.channels), device=self.rows.device)
            rows[spare:] = self.base
            self.rows, self.spare = rows, spare

    def load(self, slot: int, rows: torch.Tensor) -> None:
        """Keep one image's rows; channels that they lack are zero."""
        to = self.base[slot * self.area : (slot + 1) * self.area]
        to[:, : rows.shape[1]] = rows
        to[:, rows.shape[1] :] = 0


def area_of(node: Node) -> int:
    """Positions of a node's map; 1 for a vector."""
    return node.shape[1] * node.shape[2] if len(node.shape) == 3 else 1


class TwoTables(Step):
    """A step that keeps the base's values before it and after it."""

    before: Table
    after: Table

    @property
    def bytes_per_base(self) -> int:
        return self.before.bytes_per_base + self.after.bytes_per_base

    def reserve(self, slots: int) -> None:
        self.before.reserve(slots)
        self.after.reserve(slots)


class PointStep(TwoTables):
    """A function of every value: ``D' = f(A + D) - f(A)``."""

    def __init__(self, node: Node, device: torch.device) -> None:
        super().__init__(node, device)
        assert isinstance(node.op, Pointwise)
        self.function, self.relu = node.op.function, node.op.relu
        self.before = Table(area_of(node), node.shape[0], device)
        self.after = Table(area_of(node), node.shape[0], device)

    @property
    def wanted(self) -> tuple[str, ...]:
        return self.sources

    def load(self, slot: int, values: Values) -> None:
        rows = as_rows(values[self.sources[0]])
        if self.relu:
            # relu(A + D) - relu(A) = max(D + min(A, 0), -max(A, 0)): where A > 0 nothing is rounded.
            self.before.load(slot, rows.clamp_max(0))
            self.after.load(slot, rows.clamp_min(0).neg_())
        else:
            self.before.load(slot, rows)
            self.after.load(slot, self.function(rows))

    def run(self, block: Block) -> None:
        dirty = block.dirty[self.name]
        places = block.places(dirty)
        value = self.before.base.index_select(0, places).add_(block.live(self.sources[0]))
        after = self.after.base.index_select(0, places)
        if self.relu:
            torch.maximum(value, after, out=self.made(block))
        else:
            torch.sub(in_pieces(self.function, value), after, out=self.made(block))


class SameStep(Step):
    """Hands on the differences."""

    def run(self, block: Block) -> None:
        block.rows[self.name] = block.rows[self.sources[0]]


class AffineStep(Step):
    """Scales channels, and turns their order round."""

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, Affine)
        value = block.live(self.sources[0])
        if self.node.op.order is not None:
            value = value.index_select(1, self.node.op.order)
        torch.mul(value, self.node.op.scale, out=self.made(block))


class ChannelsStep(Step):
    """Takes channels by their index; -1 is one of zeros."""

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, Channels)
        order = self.node.op.order
        made = self.made(block)
        torch.index_select(block.live(self.sources[0]), 1, order.clamp_min(0), out=made)
        made[:, order < 0] = 0


def spread_over(block: Block, source: Dirty, target: Dirty, rows: torch.Tensor) -> torch.Tensor:
    """Rows at the positions of ``target``, zeros where ``source`` has none; ``rows`` has spare zero rows behind."""
    if source is target:
        return rows[: source.total]
    found = source.read_by(target, Field())
    which = np.full(target.total, source.total, np.int32)
    which[found.counts > 0] = found.which
    return rows.index_select(0, block.index(which))


class SumStep(Step):
    """Adds two maps."""

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, Sum)
        dirty = block.dirty[self.name]
        left, right = (spread_over(block, block.dirty[name], dirty, block.rows[name]) for name in self.sources)
        torch.add(left, right, alpha=self.node.op.sign, out=self.made(block))


class ConcatStep(Step):
    """The channels of several maps."""

    def run(self, block: Block) -> None:
        dirty = block.dirty[self.name]
        parts = [spread_over(block, block.dirty[name], dirty, block.rows[name]) for name in self.sources]
        torch.cat(parts, dim=1, out=self.made(block))


class PickStep(Step):
    """Positions by a slice, or with zeros around."""

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, Pick)
        source, dirty = block.dirty[self.sources[0]], block.dirty[self.name]
        found = source.read_by(dirty, self.node.op.field)
        which = np.full(dirty.total, source.total, np.int32)
        which[found.counts > 0] = found.which
        torch.index_select(block.rows[self.sources[0]], 0, block.index(which), out=self.made(block))


class AverageStep(Step):
    """Sums of what is read, times a factor of the position."""

    def __init__(self, node: Node, device: torch.device) -> None:
        super().__init__(node, device)
        assert isinstance(node.op, AveragePool)
        self.factor = node.op.factor.to(device).reshape(-1, 1)

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, AveragePool)
        source, dirty = block.dirty[self.sources[0]], block.dirty[self.name]
        found = source.read_by(dirty, self.node.op.field)
        made = self.made(block)
        if not dirty.total:
            return
        total = bag(block.rows[self.sources[0]], block.index(found.which), row_starts(found.counts, self.device))
        factor = self.factor.index_select(0, block.index(dirty.positions))
        torch.mul(total, factor, out=made)


class MeanStep(Step):
    """The mean over all positions: one row a candidate."""

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, Mean)
        source = block.dirty[self.sources[0]]
        made = self.made(block)
        which = block.index(np.arange(source.total, dtype=np.int32))
        total = bag(block.rows[self.sources[0]], which, row_starts(source.counts, self.device))
        torch.mul(total, 1 / (source.size[0] * source.size[1]), out=made)


class MaxStep(TwoTables):
    """The largest of what is read: needs the base's values of everything that an output reads."""

    def __init__(self, node: Node, device: torch.device, size: Pair, source: Part, own: Part) -> None:
        """``size`` of the map that it reads; whose channels ``source`` and ``own`` are."""
        super().__init__(node, device)
        assert isinstance(node.op, MaxPool)
        self.before = Table(size[0] * size[1], node.shape[0], device, spare=1)
        self.after = Table(area_of(node), node.shape[0], device)
        self.size, self.source, self.own = size, source, own

    @property
    def wanted(self) -> tuple[str, ...]:
        return (self.source.value, self.own.value)

    def load(self, slot: int, values: Values) -> None:
        self.before.load(slot, as_rows(values[self.source.value][:, self.source.channels]))
        self.after.load(slot, as_rows(values[self.own.value][:, self.own.channels]))

    def run(self, block: Block) -> None:
        assert isinstance(self.node.op, MaxPool)
        field = self.node.op.field
        source, dirty = block.dirty[self.sources[0]], block.dirty[self.name]
        made = self.made(block)
        # The candidate's own values stand before the base's in one table, and before these a row that never wins.
        self.before.widen(source.total + 1)
        table, spare = self.before.rows, self.before.spare
        table[0] = -torch.inf
        own = self.before.base.index_select(0, block.places(source))
        torch.add(own, block.live(self.sources[0]), out=table[1 : source.total + 1])
        which = torch.from_numpy(self._which(block, source, dirty, field, spare)).to(self.device)
        places = block.places(dirty)
        # What is read is many times what is kept: a piece at a time stays in the caches.
        piece = max(1, _CACHE // (4 * field.taps * self.channels))
        for start in range(0, dirty.total, piece):
            part = slice(start, start + piece)
            read = table.index_select(0, which[field.taps * start : field.taps * (start + piece)])
            largest = read.view(-1, field.taps, self.channels).amax(1)
            torch.sub(largest, self.after.base.index_select(0, places[part]), out=made[part])

    def _which(self, block: Block, source: Dirty, dirty: Dirty, field: Field, spare: int) -> Ints:
        """``(outputs * taps,)`` row of the table that each tap of each output reads."""
        rows, columns = points(dirty, field)
        found, there = source.look(dirty.candidates, rows, columns)
        height, width = self.size
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        first = block.slots[dirty.candidates] * np.int32(height * width) + np.int32(spare)
        base = (first[:, None] + rows * np.int32(width))[:, :, None] + columns[:, None, :]
        return np.where(there, found + np.int32(1), np.where(inside, base, 0)).astype(np.int32).reshape(-1)
