"""Questions a second on a graphics card: whole images and windows, single and half precision, beside the card's peak.

    python benchmarks/graphics_card.py [--nets allconv-cifar10 vgg16-224] [--rows 256 1024 4096]

Ways: the network with batch norm folded in channels last, the same captured as a CUDA graph, torch.compile where it
works, each in fp32 (without TF32) and bf16, and windows. Peak is what a product of two large matrices reaches on this
card in the same precision, measured here; a way's share of it counts the multiplications of the whole network, so that
windows may go beyond 1. Last come whole attacks. Without a card nothing is measured; `--device cpu` tries the script.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from incremental_nets import NETS
from search_overhead import attack_rate

from incremental import SHIPPED, network
from pinprick.errors import PinprickError
from pinprick.incremental import Incremental
from pinprick.incremental.check import drawn, noise
from pinprick.runs.manifest import processor
from pinprick.targets.runtime import multiplications
from pinprick.targets.torch_target import TorchTarget, folded

Pass = Callable[[], object]
LARGE = {"cuda": 8192, "cpu": 1024}
"""Side of the matrices whose product stands for the peak."""
PRECISIONS = (torch.float32, torch.bfloat16)


def seconds(work: Pass, device: torch.device, rounds: int) -> float:
    """Median seconds of a call, after two that do not count."""
    taken = []
    for turn in range(rounds + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if turn > 1:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak(dtype: torch.dtype, device: torch.device, rounds: int) -> float:
    """Multiplications a second of a large product."""
    side = LARGE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return side**3 / seconds(lambda: left @ right, device, rounds)


def captured(net: nn.Module, images: torch.Tensor) -> Pass:
    """A pass as a CUDA graph: one launch for all its kernels."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            net(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        net(images)
    return graph.replay


def ways(net: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> dict[str, Pass]:
    """Whole images by all that works here."""
    given = images.to(dtype, memory_format=torch.channels_last)
    fused = folded(copy.deepcopy(net)).to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    found: dict[str, Pass] = {"folded": lambda: fused(given)}
    makers: dict[str, Callable[[], Pass]] = {}
    if images.device.type == "cuda":
        makers["graph"] = lambda: captured(fused, given)
        compiled = torch.compile(fused, dynamic=False)
        makers["compiled"] = lambda: lambda: compiled(given)
    for name, make in makers.items():
        try:
            way = make()
            way()
        except Exception as error:  # what a card or a compiler does not take
            print(f"  without {name}: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
            continue
        found[name] = way
    return found


@torch.inference_mode()
def measure(name: str, rows: list[int], device: torch.device, rounds: int, peaks: dict[torch.dtype, float]) -> None:
    """Rows of the first table."""
    net, shape = network(name)
    net = net.to(device)
    pixels = noise(shape, 16)
    macs = multiplications(net, torch.from_numpy(pixels[:1]).float().div(255).to(device))

    def say(way: str, dtype: torch.dtype, n: int, taken: float) -> None:
        rate = n / taken
        kind = str(dtype).removeprefix("torch.")
        print(f"| {name} | {way} | {kind} | {n:,} | {rate:,.0f} | {rate * macs / peaks[dtype]:.3f} |", flush=True)

    for n in rows:
        images = torch.from_numpy(np.resize(pixels, (n, *shape))).float().div(255).to(device)
        for dtype in PRECISIONS:
            for way, work in ways(net, images, dtype).items():
                say(way, dtype, n, seconds(work, device, rounds))
    engine = Incremental(net, shape)
    handles = engine.base(pixels)
    for n in rows:
        which, edits = drawn(shape, n, 1, len(pixels))
        bases = handles[which]
        way = "dense by plan" if engine.plan(1).dense else "windows, 1 pixel"
        say(
            way, torch.float32, n, seconds(lambda bases=bases, edits=edits: engine.scores(bases, edits), device, rounds)
        )


def attacks(name: str, device: torch.device, budget: int) -> None:
    """Rows of the second table: the paper's evolution as a run has it."""
    net, shape = network(name)
    for precision in ("fp32", "bf16"):
        target = TorchTarget(net, "logits", name=name, device=str(device), shape=shape)
        if precision == "bf16":
            target.search_in("bf16")
        target.prepare(target.images(noise(shape)))
        rows = 1024 if device.type == "cuda" else 64
        attack_rate(target, rows, 402)
        print(f"| {name} | one-pixel | {target.engine} | {attack_rate(target, rows, budget):,.0f} |", flush=True)


def main() -> int:
    """Measure what the command line asks for."""
    names = [*SHIPPED, *NETS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(SHIPPED), help=f"of {', '.join(names)}")
    parser.add_argument("--rows", nargs="+", type=int, default=[256, 1024, 4096])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--budget", type=int, default=4002, help="questions of each of the attacks' 8 units")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("nothing was measured: torch sees no CUDA device here")
        return 0
    device = torch.device(given.device)
    card = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    peaks = {dtype: peak(dtype, device, given.rounds) for dtype in PRECISIONS}
    shown = ", ".join(
        f"{str(dtype).removeprefix('torch.')} {2e-12 * rate:.1f} TFLOP/s" for dtype, rate in peaks.items()
    )
    print(f"{card}, torch {torch.__version__}; a product of {LARGE[device.type]} x {LARGE[device.type]}: {shown}\n")
    print("| network | way | precision | rows a pass | candidates a second | share of peak |\n|" + " --- |" * 6)
    for name in given.nets:
        measure(name, given.rows, device, given.rounds, peaks)
    print("\n| network | attack | engine | questions a second |\n|" + " --- |" * 4)
    for name in given.nets:
        attacks(name, device, given.budget)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PinprickError as error:
        sys.exit(str(error))
