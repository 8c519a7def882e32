"""From where windows no longer pay: the rest of the network as an ordinary network on whole maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

from pinprick.incremental.graph import Graph, unused_name
from pinprick.incremental.kernels import as_rows, padded
from pinprick.incremental.ops import Node
from pinprick.incremental.steps import Block, Table, Values, area_of

BATCH = 64
"""Rows of a dense pass: always as many, so that a row's bits do not depend on how many candidates there are."""

BLOCK = 256
"""Candidates that are carried on windows at a time, at most; how many changes nothing but the speed."""
LARGE, LARGE_BATCH = 1 << 24, 128
"""Bytes of linear layers behind the windows from which on dense passes have more rows: reading the weights is then most
of the work."""


def batch_of(tail: nn.Module) -> int:
    """Rows of the passes of what is behind the windows."""
    layers = [layer.weight for layer in tail.modules() if isinstance(layer, nn.Linear | _Wide)]
    return LARGE_BATCH if sum(4 * weight.numel() for weight in layers) >= LARGE else BATCH


def rest(graph: Graph, done: Sequence[str]) -> tuple[fx.GraphModule, list[str]]:
    """The network without the nodes ``done``; takes the values of those that it still reads, which are returned."""
    made = fx.Graph()
    mapped: dict[fx.Node, fx.Node] = {}
    finished = set(done)
    crossing: list[str] = []
    for node in graph.module.graph.nodes:
        if node.name in finished and any(user.name not in finished for user in node.users):
            crossing.append(node.name)
            mapped[node] = made.placeholder(node.name)
    for node in graph.module.graph.nodes:
        if node.name not in finished:
            mapped[node] = made.node_copy(node, lambda one: mapped[one])
    module = fx.GraphModule(graph.module, made)
    wide: dict[nn.Module, str] = {}
    # The module has a graph of its own, with copies of these nodes.
    for node in module.graph.nodes:
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if type(layer) is nn.Linear and layer.out_features != padded(layer.out_features):
            if layer not in wide:
                # Beside the layer, not in its place: the network may read its weights elsewhere.
                wide[layer] = unused_name(module, f"{node.name}_wide")
                module.add_submodule(wide[layer], _Wide(layer))
            node.target = wide[layer]
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    module.eval()
    return convert_conv2d_weight_memory_format(module, torch.channels_last), crossing


class _Wide(nn.Module):
    """A linear layer that computes outputs of zero besides: among few outputs a row's bits depend on its place."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.outputs = layer.out_features
        more = padded(self.outputs) - self.outputs
        self.weight = nn.Parameter(F.pad(layer.weight.detach(), (0, 0, 0, more)), requires_grad=False)
        self.bias = None
        if layer.bias is not None:
            self.bias = nn.Parameter(F.pad(layer.bias.detach(), (0, more)), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)[..., : self.outputs]


class Whole:
    """Makes whole maps of a node from its differences: the base's map with the differences added."""

    def __init__(self, node: Node, device: torch.device, batch: int) -> None:
        self.node, self.device, self.batch = node, device, batch
        self.table = Table(area_of(node), node.shape[0], device)

    def load(self, slot: int, values: Values) -> None:
        """Keep a base image's map."""
        self.table.load(slot, as_rows(values[self.node.name]))

    def value(self, block: Block, first: int) -> torch.Tensor:
        """Whole maps of the candidates from ``first`` on.

        Returns
        -------
        ``(batch, C, H, W)`` channels last, or ``(batch, C)``; what is beyond the block's candidates is of no use.
        """
        dirty = block.dirty[self.node.name]
        area, channels = self.table.area, self.table.channels
        last = min(first + self.batch, block.n)
        slots = np.concatenate([block.slots[first:last], np.repeat(block.slots[:1], self.batch - (last - first))])
        base = self.table.base.view(-1, area * channels)
        whole = base.index_select(0, block.index(slots)).view(-1, channels)
        part = slice(int(dirty.starts[first]), int(dirty.starts[last]))
        places = block.index((dirty.candidates[part] - first) * np.int32(area) + dirty.positions[part])
        changed = whole.index_select(0, places).add_(block.rows[self.node.name][part])
        whole.index_copy_(0, places.long(), changed)
        if len(self.node.shape) != 3:
            return whole
        return whole.view(self.batch, *self.node.map, channels).permute(0, 3, 1, 2)


class _Keeper(fx.Interpreter):
    """Keeps the values of some nodes."""

    def __init__(self, module: fx.GraphModule, wanted: frozenset[str]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.values: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.wanted:
            self.values[n.name] = value
        return value


def values_of(graph: Graph, images: torch.Tensor, wanted: frozenset[str]) -> dict[str, torch.Tensor]:
    """The values of the nodes ``wanted`` for images ``(1, C, H, W)``."""
    keeper = _Keeper(graph.module, wanted)
    keeper.run(images)
    return keeper.values
