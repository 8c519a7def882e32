"""What each part of incremental evaluation is worth, and where the time goes, on one core.

    python benchmarks/incremental_factors.py [--nets allconv-cifar10 squeezenet-227] [--rounds 7]

First table: time for the same candidates with one thing done in the plain way and all else as it is, over the time with
everything, all taking turns; and with all of them done in the plain way at once. Second table: the share of each kind
of work, of the folded dense network and of windows.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parent))
from incremental import network
from pinprick.cli.memory import keep_freed_memory
from pinprick.errors import PinprickError
from pinprick.incremental import Incremental, conv, kernels
from pinprick.incremental import engine as engines
from pinprick.incremental.check import drawn, noise
from pinprick.incremental.ops import Pointwise
from pinprick.incremental.plan import longest
from pinprick.incremental.windows import Dirty, Ints, Masks
from pinprick.incremental.windows import changed as boxes_or_masks
from pinprick.runs.manifest import processor
from pinprick.targets.torch_target import folded

GLIBC = (128 << 10, 128 << 10)
"""Its own thresholds for giving memory back and for mapping it anew."""
KINDS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm", "mkldnn::_linear_pointwise"),
    "convolutions": ("aten::mkldnn_convolution", "aten::_slow_conv2d_forward", "aten::thnn_conv2d"),
    "sums of rows": ("aten::_embedding_bag_forward_only", "aten::_embedding_bag"),
    "gathers and copies": ("aten::index_select", "aten::copy_", "aten::index_copy_", "aten::cat"),
    "single values": ("aten::maximum", "aten::add", "aten::add_", "aten::sub", "aten::mul", "aten::clamp_min",
                      "aten::clamp_min_", "aten::relu", "aten::relu_"),
    "pools": ("aten::amax", "aten::max_pool2d_with_indices", "aten::mkldnn_max_pool2d", "aten::mean"),
}  # fmt: skip


@dataclass(frozen=True)
class Plain:
    """One thing done in the plain way: a context in which the engine is built, and one in which it is run."""

    name: str
    build: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    run: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    change: Callable[[Incremental, int], None] = lambda engine, pixels: None  # noqa: ARG005


def _relu_apart(engine: Incremental, pixels: int) -> None:  # noqa: ARG001
    assert engine.graph is not None
    for name, node in engine.graph.nodes.items():
        if isinstance(node.op, Pointwise) and node.op.relu:
            engine.graph.nodes[name] = replace(node, op=replace(node.op, relu=False))


def _to_the_end(engine: Incremental, pixels: int) -> None:
    assert engine.graph is not None
    engine.use(replace(engine.plan(pixels), windows=longest(engine.graph)))


def _masks(size: tuple[int, int], rows: Ints, columns: Ints, counts: Ints) -> Dirty:
    found = boxes_or_masks(size, rows, columns, counts)
    return found if isinstance(found, Masks) else Masks(found.mask)  # type: ignore[attr-defined]


@contextlib.contextmanager
def _memory_given_back() -> Iterator[None]:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-1, GLIBC[0])
        mallopt(-3, GLIBC[1])
    try:
        yield
    finally:
        keep_freed_memory()


PLAIN = (
    Plain("concatenations made", build=lambda: patch.object(engines, "parts_of", lambda *_: {})),
    Plain("ReLU as a pass of its own", change=_relu_apart),
    Plain("weights not laid out for products", build=lambda: patch.object(kernels, "_WIDE", 1 << 62)),
    Plain("64 MB of products before their sums", build=lambda: patch.object(conv, "_CACHE", 64 << 20)),
    Plain("masks, not boxes, of one pixel", run=lambda: patch.object(engines, "changed", _masks)),
    Plain("8 candidates at a time, not 256", run=lambda: patch.object(engines, "BLOCK", 8)),
    Plain("freed memory given back", run=_memory_given_back),
    Plain("windows as far as they can go", change=_to_the_end),
)


class Way:
    """The engine with some things done in the plain way."""

    def __init__(self, name: str, plain: tuple[Plain, ...], net: torch.nn.Module, shape: tuple[int, int, int],
                 pixels: int) -> None:  # fmt: skip
        self.name, self.plain = name, plain
        images = noise(shape)
        self.which, self.edits = drawn(shape, 256, pixels, len(images))
        with contextlib.ExitStack() as stack:
            for one in plain:
                stack.enter_context(one.build())
            self.engine = Incremental(net, shape)
            for one in plain:
                one.change(self.engine, pixels)
            self.handles = self.engine.base(images)[self.which]
            self.scores = self()

    def __call__(self) -> torch.Tensor:
        with contextlib.ExitStack() as stack:
            for one in self.plain:
                stack.enter_context(one.run())
            return self.engine.scores(self.handles, self.edits)


@torch.inference_mode()
def factors(name: str, pixels: int, rounds: int) -> list[str]:
    """A column of the first table."""
    net, shape = network(name)
    whole = Way("as it is", (), net, shape, pixels)
    ways = [Way(one.name, (one,), net, shape, pixels) for one in PLAIN]
    # Windows to the end is no plainer way, but another choice.
    every = tuple(one for one in PLAIN if one.change is not _to_the_end)
    ways.append(Way("all of these but the last", every, net, shape, pixels))
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for way in (whole, *ways):
            # Once without a watch: some of them leave memory and caches in another state to the next one.
            way()
            start = time.thread_time()
            found = way()
            times.setdefault(way.name, []).append((time.thread_time() - start) / len(way.edits))
            assert float((found - whole.scores).abs().max() / whole.scores.abs().max()) < 1e-4, way.name
    medians = {each: statistics.median(taken) for each, taken in times.items()}
    return [f"{1e3 * medians[whole.name]:.2f}", *(f"{medians[way.name] / medians[whole.name]:.2f}" for way in ways)]


def shares(work: Callable[[], object]) -> list[str]:
    """What share of the time each of :data:`KINDS` takes, and all else."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        # As the profiler counts: by the clock.
        start = time.perf_counter()
        work()
        total = 1e6 * (time.perf_counter() - start)
    own = {event.key: event.self_cpu_time_total for event in recorded.key_averages()}
    found = [sum(own.get(each, 0.0) for each in names) / total for names in KINDS.values()]
    return [f"{100 * share:.0f} %" for share in (*found, max(0.0, 1 - sum(found)))]


@torch.inference_mode()
def profiles(name: str, pixels: int) -> list[list[str]]:
    """Rows of the second table."""
    net, shape = network(name)
    way = Way("as it is", (), net, shape, pixels)
    dense = folded(copy.deepcopy(net)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = way.edits.take(slice(0, 64))
    images = torch.from_numpy(some.apply(noise(shape)[way.which[:64]])).float().div(255)
    last = images.contiguous(memory_format=torch.channels_last)
    return [[name, "whole images", *shares(lambda: dense(last))], [name, "windows", *shares(way)]]


def table(heads: list[str], rows: list[list[str]]) -> None:
    """Printed as Markdown."""
    print("\n| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["allconv-cifar10", "nin-cifar10"])
    parser.add_argument("--pixels", type=int, default=1, help="changed pixels a candidate")
    parser.add_argument("--rounds", type=int, default=7, help="turns of all ways")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"{processor()}, one thread, torch {torch.__version__}, {given.rounds} rounds, 256 candidates a turn")
    print(f"{given.pixels} changed pixels: time over that of all as it is")
    names = ["as it is, ms a candidate", *(one.name for one in PLAIN), "all of these but the last"]
    columns = [factors(name, given.pixels, given.rounds) for name in given.nets]
    table(["", *given.nets], [list(row) for row in zip(names, *columns, strict=True)])
    rows = [row for name in given.nets for row in profiles(name, given.pixels)]
    table(["network", "way", *KINDS, "all else"], rows)


if __name__ == "__main__":
    try:
        main()
    except PinprickError as error:
        sys.exit(str(error))
