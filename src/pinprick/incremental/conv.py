"""Convolutions of differences: one product with all taps, then a sum over what each output reads.

``conv(x + D) - conv(x) = conv(D)``, so the cost is that of the dirty *inputs*: each row of ``D (rows, C)`` is
multiplied by the weights of all taps at once, ``(C, taps * outputs)``, and each output row is the sum of the products
that reach it. With a stride only some taps reach an output; inputs are then sorted by their residue, and each residue
has a product of its own with its own taps. A ReLU behind is taken in the same pass: the base's value is one more row of
the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pinprick.incremental.kernels import ROWS, Matrix, as_rows, bag, padded
from pinprick.incremental.ops import Conv, Node
from pinprick.incremental.steps import Block, Step, Table, Values, area_of
from pinprick.incremental.windows import Dirty, Ints, spread_of, starts_of

_CACHE = 1 << 20
"""Bytes of products that are made before they are summed: few enough for the caches, enough to be worth a call."""


@dataclass(frozen=True)
class Residue:
    """Inputs that the same taps read.

    Parameters
    ----------
    source : the number of the map that they are of.
    kind : the remainders of their row and column, ``row * column stride + column``.
    taps : their numbers, ``row * kw + column``.
    weight : ``(C, taps * outputs)``; of several groups ``(groups, C / groups, taps * outputs / groups)``, padded.
    matrix : the same of one group, as it is multiplied by; None of several, and where there are no taps.
    """

    source: int
    kind: int
    taps: tuple[int, ...]
    weight: torch.Tensor
    matrix: Matrix | None


class ConvStep(Step):
    """A convolution, and the ReLU behind it if ``relu`` is given.

    Parameters
    ----------
    node : its inputs are maps whose channels follow one another, ``channels`` of each; of several, in one group.
    """

    def __init__(
        self, node: Node, device: torch.device, relu: Node | None = None, channels: Sequence[int] | None = None
    ) -> None:
        super().__init__(relu or node, device)
        assert isinstance(node.op, Conv)
        self.conv, self.op = node, node.op
        self.relu = relu is not None
        self.groups = node.op.groups
        self.width = padded(node.shape[0])
        weights = [node.op.weight] if channels is None else torch.split(node.op.weight, list(channels), dim=1)
        self.residues = [
            one for source, weight in enumerate(weights) for one in self._residues(node.op, source, weight)
        ]
        self.slot = np.zeros(node.op.field.taps, np.int32)
        for residue in self.residues:
            self.slot[list(residue.taps)] = np.arange(len(residue.taps))
        row = 4 * self.width * max(len(residue.taps) for residue in self.residues)
        self.rows = max(1, _CACHE // (row * ROWS)) * ROWS
        self.before = Table(area_of(node), self.width, device)
        self.after = Table(area_of(node), node.shape[0], device)

    def _residues(self, op: Conv, source: int, weight: torch.Tensor) -> list[Residue]:
        """For each remainder of the input row and column after division by the stride, the taps that read it."""
        weight = weight.to(self.device).contiguous()
        groups, (kh, kw) = op.groups, op.reads.kernel
        outputs = weight.shape[0] // groups
        if self.width != weight.shape[0] and groups == 1:
            weight = torch.cat([weight, weight.new_zeros(self.width - len(weight), *weight.shape[1:])])
            outputs = self.width
        # (groups, inputs / groups, taps, outputs / groups)
        table = weight.view(groups, outputs, -1, kh * kw).permute(0, 2, 3, 1)
        found = []
        (sh, sw), (dh, dw) = op.reads.stride, op.reads.dilation
        for y in range(sh):
            for x in range(sw):
                taps = [
                    row * kw + column
                    for row in range(kh)
                    for column in range(kw)
                    if (row * dh) % sh == y and (column * dw) % sw == x
                ]
                chosen = table[:, :, taps].reshape(groups, table.shape[1], -1).contiguous()
                if groups > 1:
                    chosen = F.pad(chosen, (0, padded(chosen.shape[2]) - chosen.shape[2]))
                matrix = Matrix(chosen[0]) if groups == 1 and taps else None
                weights = chosen[0] if groups == 1 else chosen
                found.append(Residue(source, y * sw + x, tuple(taps), weights, matrix))
        return found

    @property
    def sources(self) -> tuple[str, ...]:
        return self.conv.inputs

    @property
    def wanted(self) -> tuple[str, ...]:
        return (self.conv.name,) if self.relu else ()

    @property
    def bytes_per_base(self) -> int:
        return self.before.bytes_per_base + self.after.bytes_per_base if self.relu else 0

    def reserve(self, slots: int) -> None:
        if self.relu:
            self.before.reserve(slots)
            self.after.reserve(slots)

    def load(self, slot: int, values: Values) -> None:
        if self.relu:
            rows = as_rows(values[self.conv.name])
            # relu(A + D) - relu(A) = max(D + min(A, 0), -max(A, 0)): where A > 0 nothing is rounded.
            self.before.load(slot, rows.clamp_max(0))
            self.after.load(slot, rows.clamp_min(0).neg_())

    def spread(self, block: Block) -> Dirty:
        return spread_of(self.conv, block.dirty)

    def run(self, block: Block) -> None:
        sources, dirty = [block.dirty[name] for name in self.sources], block.dirty[self.name]
        made = self.made(block)
        if not dirty.total:
            return
        plan = _Chunks(self, sources)
        self.before.widen(plan.spare)
        which, starts, ends = self._lists(block, plan, sources, dirty)
        after = block.places(dirty) if self.relu else None
        rows = [block.rows[name] for name in self.sources]
        orders = None if plan.orders is None else [block.index(order) for order in plan.orders]
        done = [0] * len(self.residues)
        for chunk in range(len(plan.bounds) - 1):
            low, high = plan.bounds[chunk], plan.bounds[chunk + 1]
            out = slice(int(dirty.starts[low]), int(dirty.starts[high]))
            if out.start == out.stop:
                continue
            for number in range(len(self.residues)):
                done[number] = self._multiply(
                    plan, number, done[number], int(plan.runs[number][chunk + 1]), rows, orders
                )
            value = bag(self.before.rows, which[int(ends[low]) : int(ends[high])], starts[out])
            value = value if self.width == self.channels else value[:, : self.channels]
            if after is None:
                made[out] = value
            else:
                torch.maximum(value, self.after.base.index_select(0, after[out]), out=made[out])

    def _lists(
        self, block: Block, plan: _Chunks, sources: list[Dirty], dirty: Dirty
    ) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]:
        """Rows of the table that each output sums, where its list starts in its chunk, and in all for a candidate."""
        lists = []
        for source, first_row in zip(sources, plan.first_row, strict=True):
            found = source.read_by(dirty, self.op.field)
            lists.append((first_row[found.which] + self.slot[found.tap], found.counts))
        which, counts = lists[0] if len(lists) == 1 else _in_turn(lists)
        if self.relu:
            # The base's own value is the last of each list.
            ends = np.cumsum(counts)
            which = np.insert(which, ends, block.base_rows(dirty) + np.int32(self.before.spare))
            counts = counts + 1
        pairs = starts_of(counts)
        begin = pairs[dirty.starts[plan.bounds[:-1]]]
        chunk = np.repeat(begin, np.diff(dirty.starts[plan.bounds]))
        return block.index(which), block.index(pairs[:-1] - chunk), pairs[dirty.starts]

    def _multiply(
        self,
        plan: _Chunks,
        number: int,
        done: int,
        needed: int,
        rows: list[torch.Tensor],
        orders: list[torch.Tensor] | None,
    ) -> int:
        """The products of a residue's inputs, from ``done`` on until ``needed`` are there; returns how many are."""
        residue, ring, taps = self.residues[number], plan.rings[number], len(self.residues[number].taps)
        last = int(plan.runs[number][-1])
        while done < needed and taps:
            # Only the last product of all has fewer rows, so the ring stays in step.
            size = ROWS if residue.matrix is None else residue.matrix.rows(min(ROWS, last - done))
            part = slice(done, done + size)
            own = rows[residue.source]
            given = own[part] if orders is None else own.index_select(0, orders[number][part])
            at = plan.regions[number] + done % ring * taps
            self._product(given, residue, self.before.rows[at : at + size * taps])
            done += ROWS
        return done

    def _product(self, given: torch.Tensor, residue: Residue, to: torch.Tensor) -> None:
        """``given (N, C)`` times the weights of each tap, into ``to (N * taps, outputs)``; of groups N is ROWS."""
        if residue.matrix is not None:
            residue.matrix.product(given, to.view(len(given), -1))
            return
        taps, outputs = len(residue.taps), self.channels // self.groups
        to = to.view(ROWS, taps, self.width)[:, :, : self.channels].view(ROWS, taps, self.groups, outputs)
        if residue.weight.shape[1] == outputs == 1:
            torch.mul(given[:, None, :], residue.weight[:, 0, :taps].t(), out=to.squeeze(3))
            return
        made = torch.bmm(given.view(ROWS, self.groups, -1).transpose(0, 1), residue.weight)
        made = made[:, :, : taps * outputs].view(self.groups, ROWS, taps, outputs)
        to.copy_(made.permute(1, 2, 0, 3))


def _in_turn(lists: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Several lists for each output, values and counts ``(outputs,)``, one behind the other as one list for each."""
    counts: Ints = np.stack([own for _, own in lists]).sum(axis=0, dtype=np.int32)
    starts = starts_of(counts)
    made, begin = np.empty(int(starts[-1]), np.int32), starts[:-1]
    for values, own in lists:
        # From the place in its own list to that in the list of all.
        made[np.repeat(begin - starts_of(own)[:-1], own) + np.arange(len(values))] = values
        begin = begin + own
    return made, counts


class _Chunks:
    """Whole candidates put together, and where in the table the products of their inputs are.

    The products of a residue's inputs follow one another in a ring, :data:`ROWS` inputs at a time, and the next ones
    are made when the outputs of a chunk need them: so no product is padded but the last of all.

    Attributes
    ----------
    bounds : ``(chunks + 1,)`` first candidate of each chunk.
    runs : for each residue ``(chunks + 1,)`` its first input of each chunk.
    regions, rings : for each residue its first row in the table, and how many inputs have place there at a time.
    orders : for each residue the inputs that it has, then rows of zeros; None with a single residue.
    first_row : for each source ``(inputs,)`` the row of each input's first product.
    spare : rows of the table that are needed.
    """

    def __init__(self, step: ConvStep, sources: list[Dirty]) -> None:
        (sh, sw), (ph, pw) = step.op.reads.stride, step.op.reads.padding
        members: list[NDArray[np.intp]] | None = None
        counts: list[NDArray[np.integer]] = [source.counts for source in sources]
        if sh * sw > 1:
            kinds = []
            for source in sources:
                width = np.int32(source.size[1])
                row = source.positions // width
                column = source.positions - row * width
                kinds.append(((row + ph) % sh) * sw + (column + pw) % sw)
            members = [np.flatnonzero(kinds[one.source] == one.kind) for one in step.residues]
            counts = [
                np.bincount(sources[one.source].candidates[own], minlength=sources[one.source].n)
                for one, own in zip(step.residues, members, strict=True)
            ]
        sums = [starts_of(one) for one in counts]
        used = [number for number, residue in enumerate(step.residues) if residue.taps]
        # A candidate that has more inputs than a chunk takes is a chunk by itself.
        room = [max(step.rows, int(one.max(initial=0))) for one in counts]
        self.bounds = self._cut(sources[0].n, [sums[one] for one in used], [room[one] for one in used])
        self.runs = [one[self.bounds] for one in sums]
        # What is made too early for the next chunk stands beside what this one needs.
        self.rings = [(-(-most // ROWS) + 1) * ROWS for most in room]
        self.regions: list[int] = []
        self.spare = 0
        self.first_row = [np.zeros(source.total, np.int32) for source in sources]
        for number, residue in enumerate(step.residues):
            within = np.arange(int(sums[number][-1])) % self.rings[number]
            first = (within * len(residue.taps) + self.spare).astype(np.int32)
            self.first_row[residue.source][slice(None) if members is None else members[number]] = first
            self.regions.append(self.spare)
            self.spare += self.rings[number] * len(residue.taps)
        self.orders: list[Ints] | None = None
        if members is not None:
            self.orders = []
            for one, own in zip(step.residues, members, strict=True):
                fill = np.full(ROWS, sources[one.source].total, np.int32)
                self.orders.append(np.concatenate([own.astype(np.int32), fill]))

    @staticmethod
    def _cut(n: int, sums: list[NDArray[np.int64]], room: list[int]) -> NDArray[np.int64]:
        bounds = [0]
        while bounds[-1] < n:
            here = bounds[-1]
            ends = [
                int(np.searchsorted(one, one[here] + most, side="right")) - 1
                for one, most in zip(sums, room, strict=True)
            ]
            bounds.append(min([*ends, n]))
        return np.array(bounds)
