"""One way through the network: steps on windows up to a point, then the rest on whole maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.edits import Edits, Images
from pinprick.incremental.conv import ConvStep
from pinprick.incremental.graph import Graph
from pinprick.incremental.kernels import new_rows
from pinprick.incremental.ops import (
    Affine,
    AveragePool,
    Channels,
    Concat,
    Conv,
    Input,
    MaxPool,
    Mean,
    Node,
    Pick,
    Pointwise,
    Same,
    Sum,
)
from pinprick.incremental.parts import Part, joined, parts_of
from pinprick.incremental.steps import (
    AffineStep,
    AverageStep,
    Block,
    ChannelsStep,
    ConcatStep,
    MaxStep,
    MeanStep,
    PickStep,
    PointStep,
    SameStep,
    Step,
    SumStep,
)
from pinprick.incremental.tail import Whole, batch_of, rest, values_of
from pinprick.incremental.windows import changed

_PLAIN: dict[type, type[Step]] = {
    Affine: AffineStep,
    AveragePool: AverageStep,
    Channels: ChannelsStep,
    Concat: ConcatStep,
    Mean: MeanStep,
    Pick: PickStep,
    Pointwise: PointStep,
    Same: SameStep,
    Sum: SumStep,
}


class Route:
    """One way through the network: steps on windows up to a point, then the rest on whole maps."""

    def __init__(self, graph: Graph, windows: Sequence[str], device: torch.device) -> None:
        self.graph, self.device = graph, device
        self.tail, crossing = rest(graph, windows)
        self.batch = batch_of(self.tail)
        self.wholes = [Whole(graph.nodes[name], device, self.batch) for name in crossing]
        self.input = next(name for name, node in graph.nodes.items() if isinstance(node.op, Input))
        self.steps = self._steps([graph.nodes[name] for name in windows], {*crossing, graph.output})
        self.free = self._frees()
        self.kept: OrderedDict[int, int] = OrderedDict()
        self.slots = 0
        wanted = {name for step in self.steps for name in step.wanted} | set(crossing)
        self.wanted = frozenset(wanted)
        self.bytes_per_base = sum(step.bytes_per_base for step in self.steps)
        self.bytes_per_base += sum(whole.table.bytes_per_base for whole in self.wholes)

    def _steps(self, nodes: list[Node], needed: set[str]) -> list[Step]:
        users: dict[str, list[str]] = {}
        for node in self.graph.nodes.values():
            for name in node.inputs:
                users.setdefault(name, []).append(node.name)
        inside = {node.name: node for node in nodes}
        parts = parts_of(nodes, users, needed)
        steps: list[Step] = []
        fused: set[str] = set()
        for node in nodes:
            if isinstance(node.op, Input) or node.name in fused:
                continue
            given = joined(node, inside, parts)
            if isinstance(node.op, Conv):
                own = users.get(node.name, [])
                behind = inside.get(own[0]) if len(own) == 1 and node.name not in needed else None
                relu = behind if behind is not None and isinstance(behind.op, Pointwise) and behind.op.relu else None
                if relu is not None:
                    fused.add(relu.name)
                channels = [one.high - one.low for one in given] if len(given) > 1 else None
                taking = replace(node, inputs=tuple(one.name for one in given))
                steps.append(ConvStep(taking, self.device, relu, channels))
            elif isinstance(node.op, MaxPool):
                size = self.graph.nodes[node.inputs[0]].map
                whole = Part(node.name, node.name, 0, node.shape[0])
                for source, made in zip(given, parts.get(node.name, (whole,)), strict=True):
                    shape = (made.high - made.low, *node.map)
                    step = replace(node, name=made.name, inputs=(source.name,), shape=shape)
                    steps.append(MaxStep(step, self.device, size, source, made))
            elif node.name not in parts:
                taking = replace(node, inputs=tuple(one.name for one in given))
                steps.append(_PLAIN[type(node.op)](taking, self.device))
        return steps

    def _frees(self) -> list[list[str]]:
        """After each step, the nodes whose differences are read no more."""
        last: dict[str, int] = {}
        for place, step in enumerate(self.steps):
            for name in (*step.sources, step.name):
                last[name] = place
        for whole in self.wholes:
            last.pop(whole.node.name, None)
        return [[name for name, at in last.items() if at == place] for place in range(len(self.steps))]

    def hold(self, handles: Sequence[int], images: dict[int, Images], most: int) -> dict[int, int]:
        """Slots of base images; those that are not there are computed, in place of those asked for longest ago."""
        for handle in handles:
            if handle in self.kept:
                self.kept.move_to_end(handle)
        for handle in handles:
            if handle not in self.kept:
                self.kept[handle] = self._free_slot(most)
                try:
                    self._load(self.kept[handle], images[handle])
                except BaseException:
                    # A slot that holds half of an image must not be taken for a whole one.
                    del self.kept[handle]
                    raise
        return {handle: self.kept[handle] for handle in handles}

    def _free_slot(self, most: int) -> int:
        taken = set(self.kept.values())
        if len(taken) < self.slots:
            return next(slot for slot in range(self.slots) if slot not in taken)
        if self.slots >= most:
            return self.kept.popitem(last=False)[1]
        slot, slots = self.slots, min(most, max(1, 2 * self.slots))
        for step in self.steps:
            step.reserve(slots)
        for whole in self.wholes:
            whole.table.reserve(slots)
        # Only now, as memory may have run out in between.
        self.slots = slots
        return slot

    def _load(self, slot: int, image: Images) -> None:
        # One image at a time: its values must not depend on which others are computed with it.
        values = values_of(self.graph, as_images(image[None], self.device), self.wanted)
        for step in self.steps:
            step.load(slot, values)
        for whole in self.wholes:
            whole.load(slot, values)

    def run(self, slots: NDArray[np.int32], bases: Images, edits: Edits) -> torch.Tensor:
        """``(n, K)`` scores of up to :data:`BLOCK` candidates; ``edits`` are canonical, ``bases (n, C, H, W)``."""
        assert edits.count is not None
        block = Block(slots, self.device)
        dirty = changed(self.graph.shape[1:], edits.rows, edits.columns, edits.count)
        block.dirty[self.input] = dirty
        rows = new_rows(dirty.total, self.graph.shape[0], self.device)
        own = dirty.candidates
        row, column = np.divmod(dirty.positions, self.graph.shape[2])
        live = np.arange(edits.pixels) < edits.count[:, None]
        # Canonical edits are sorted by pixel, as the dirty positions are.
        after = torch.from_numpy(edits.colours[live]).to(self.device).float().div_(255)
        before = torch.from_numpy(bases[own, :, row, column]).to(self.device).float().div_(255)
        rows[: dirty.total] = after - before
        block.rows[self.input] = rows
        for step, free in zip(self.steps, self.free, strict=True):
            block.dirty[step.name] = step.spread(block)
            step.run(block)
            for name in free:
                del block.rows[name]
        starts = range(0, block.n, self.batch)
        made = [self.tail(*(whole.value(block, first) for whole in self.wholes)) for first in starts]
        return torch.cat(made)[: block.n]


def as_images(pixels: Images, device: torch.device) -> torch.Tensor:
    """8-bit images as float in [0, 1], channels last."""
    moved = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return moved.float().div_(255).contiguous(memory_format=torch.channels_last)
