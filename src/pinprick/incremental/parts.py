"""Maps put together that need not be: what reads them takes their parts, each where it differs itself.

A branch with a small kernel differs on fewer positions than the one beside it with a large kernel. Kept apart, nothing
is copied, and a convolution behind them multiplies only what differs. A max pool takes each part by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pinprick.incremental.ops import Concat, Conv, MaxPool, Node, Same


@dataclass(frozen=True)
class Part:
    """Some channels of a map.

    Parameters
    ----------
    name : under which its differences are kept.
    value : the node whose value they belong to, of which they are the channels from ``low`` to ``high``.
    """

    name: str
    value: str
    low: int
    high: int

    @property
    def channels(self) -> slice:
        """Of :attr:`value`."""
        return slice(self.low, self.high)


Parts = Mapping[str, tuple[Part, ...]]


def parts_of(nodes: Sequence[Node], users: Mapping[str, Collection[str]], needed: Collection[str]) -> Parts:
    """The nodes that stay in parts, and which: concatenations, and max pools behind them.

    Parameters
    ----------
    nodes : what is carried on windows, in order.
    users : the names of the nodes that read each node.
    needed : nodes that are read as whole maps, whatever else reads them.
    """
    loose: set[str] = set()
    takers: set[str] = set()
    for node in reversed(nodes):
        read_by = users.get(node.name, ())
        if isinstance(node.op, Conv) and node.op.groups == 1:
            takers.add(node.name)
        elif isinstance(node.op, Concat | MaxPool | Same):
            if node.name not in needed and read_by and all(name in takers for name in read_by):
                loose.add(node.name)
                takers.add(node.name)
            elif isinstance(node.op, Concat):
                # Made all the same, of parts of parts.
                takers.add(node.name)
    found: dict[str, tuple[Part, ...]] = {}
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        if node.name not in loose:
            continue
        given = joined(node, by_name, found)
        if isinstance(node.op, Concat) or (isinstance(node.op, Same) and node.inputs[0] in found):
            found[node.name] = given
        elif node.inputs[0] in found:
            ends = [0]
            for part in given:
                ends.append(ends[-1] + part.high - part.low)
            found[node.name] = tuple(
                Part(f"{node.name}/{number}", node.name, ends[number], ends[number + 1]) for number in range(len(given))
            )
    return found


def joined(node: Node, nodes: Mapping[str, Node], parts: Parts) -> tuple[Part, ...]:
    """What a node reads, one after the other: parts where an input stays in parts, else the input itself."""
    found: list[Part] = []
    for name in node.inputs:
        found += parts.get(name, (Part(name, name, 0, nodes[name].shape[0]),))
    return tuple(found)
