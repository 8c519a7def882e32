"""Incremental evaluation beside the best dense one: candidates a second on one core, and what each way keeps in memory.

Ours is what a run with `--engine auto` does: windows where they are exact and faster, else whole images. The dense ways
are the module as it is, batch norm folded in channels last, torch.compile where there is a compiler, and onnxruntime
where it is installed, each at its best number of rows a pass. All take turns; times are those of the one thread that
computes, and a ratio is one of medians.

    python benchmarks/incremental.py [--nets allconv-cifar10 vgg16-224] [--pixels 1] [--rounds 7]
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from incremental_nets import NETS

from pinprick.cli.memory import keep_freed_memory
from pinprick.edits import Edits
from pinprick.errors import PinprickError
from pinprick.incremental import Incremental
from pinprick.incremental.check import drawn, noise
from pinprick.models.preprocessing import Preprocess
from pinprick.models.shipped import load_shipped
from pinprick.models.weights import load_net
from pinprick.runs.manifest import processor
from pinprick.targets.passes import ask, default_rows
from pinprick.targets.torch_target import TorchTarget, folded

Engine = Callable[[torch.Tensor], torch.Tensor]
SHIPPED = ("allconv-cifar10", "nin-cifar10", "resnet32-cifar10")
SQUEEZENET = Path(__file__).parents[2] / "shared" / "models" / "squeezenet-imagenet.safetensors"
BATCHES = (4, 16, 64)
OURS = "ours"


def network(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network with its preprocessing inside, and the shape of its images."""
    if name in NETS:
        torch.manual_seed(0)
        make, shape = NETS[name]
        return make().eval(), shape
    net, card = load_net(SQUEEZENET, "squeezenet") if name == "squeezenet-227" else load_shipped(name)
    return nn.Sequential(Preprocess(card.mean, card.std, card.order), net).eval(), card.shape


def engines(net: nn.Module, shape: tuple[int, int, int], *, compiled: bool) -> dict[str, Engine]:
    """Ways to compute the network densely, those that work here; each is held against the module itself."""
    copied = copy.deepcopy(net)
    fused = folded(copied).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found: dict[str, Engine] = {"torch": net, "torch folded": _last(fused)}
    if compiled:
        found["torch.compile"] = _last(torch.compile(fused, dynamic=False))
    try:
        found["onnxruntime"] = onnx(net, shape)
    except ImportError as error:
        print(f"  without onnxruntime: {error}")
    images = torch.from_numpy(noise(shape)).float().div(255)
    exact = net(images)
    for name, engine in list(found.items()):
        try:
            off = float((engine(images) - exact).abs().max() / exact.abs().max())
        except Exception as error:  # a compiler that does not work here
            print(f"  without {name}: {type(error).__name__}")
            del found[name]
            continue
        assert off < 1e-3, f"{name} differs by {off}"
    return found


def _last(module: Engine) -> Engine:
    return lambda images: module(images.contiguous(memory_format=torch.channels_last))


def onnx(net: nn.Module, shape: tuple[int, int, int]) -> Engine:
    """The network in onnxruntime, with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future
        path = Path(folder) / "net.onnx"
        axes = {"images": {0: "rows"}, "scores": {0: "rows"}}
        example = (torch.zeros(2, *shape),)
        names = {"input_names": ["images"], "output_names": ["scores"]}
        torch.onnx.export(net, example, str(path), dynamic_axes=axes, dynamo=False, **names)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def seconds(work: Callable[[], object]) -> float:
    """What the calling thread computes, once the same was computed before: in a run passes follow one another."""
    work()
    start = time.thread_time()
    work()
    return time.thread_time() - start


def best_batch(engine: Engine, shape: tuple[int, int, int], least: float, sizes: list[int]) -> tuple[int, torch.Tensor]:
    """Rows a pass at which an engine is fastest, and so many images."""
    rates = {}
    for rows in sizes:
        images = torch.from_numpy(np.resize(noise(shape), (rows, *shape))).float().div(255)
        engine(images)
        times = [seconds(lambda images=images: engine(images)) for _ in range(2)]
        while sum(times) < least:
            times.append(seconds(lambda images=images: engine(images)))
        rates[rows] = rows / min(times)
    rows = max(rates, key=rates.__getitem__)
    return rows, torch.from_numpy(np.resize(noise(shape), (rows, *shape))).float().div(255)


def as_a_run(
    net: nn.Module, shape: tuple[int, int, int], pixels: int, images: np.ndarray, which: np.ndarray, edits: Edits
) -> tuple[str, Callable[[], np.ndarray]]:
    """The way that a run chooses, and a function that scores all candidates by it."""
    target = TorchTarget(net, "logits", name="net", device="cpu", shape=shape)
    target.prepare(target.images(noise(shape, 16)))
    editing = target.editing(shape)
    assert editing is not None
    if editing.choose(pixels, "auto", images, against=target.gain).incremental:
        handles = editing.engine.base(images)[which]
        return "windows", lambda: editing.engine.scores(handles, edits).numpy()

    def whole() -> np.ndarray:
        rows = default_rows(target)
        parts = [slice(start, start + rows) for start in range(0, len(edits), rows)]
        return np.concatenate(
            [ask(target, edits.take(p).apply(images[which[p]]), rows, fast=True).scores for p in parts]
        )

    return target.engine.removeprefix("dense, batch norm folded, "), whole


@torch.inference_mode()
def measure(name: str, pixels: int, rounds: int, candidates: int, sizes: list[int], *, compiled: bool) -> str:
    """A row of the table."""
    net, shape = network(name)
    images = noise(shape)
    which, edits = drawn(shape, candidates, pixels, len(images))
    way, ours = as_a_run(net, shape, pixels, images, which, edits)
    plan = Incremental(net, shape).plan(pixels)
    dense = engines(net, shape, compiled=compiled)
    batches = {way: best_batch(engine, shape, 0.3, sizes) for way, engine in dense.items()}
    found = torch.from_numpy(ours())
    edited = torch.from_numpy(edits.apply(images[which])).float().div(255)
    exact = torch.cat([net(part) for part in edited.split(32)])
    apart = float((found - exact).abs().max() / exact.abs().max())
    verdicts = int((found.argmax(1) != exact.argmax(1)).sum())
    times: dict[str, list[float]] = {each: [] for each in (OURS, *dense)}
    for _ in range(rounds):
        times[OURS].append(seconds(ours) / candidates)
        for each, engine in dense.items():
            rows, given = batches[each]
            times[each].append(seconds(lambda engine=engine, given=given: engine(given)) / rows)
    medians = {each: statistics.median(taken) for each, taken in times.items()}
    best = min(dense, key=medians.__getitem__)
    ways = ", ".join(f"{each} {1e3 * medians[each]:.2f} ({batches[each][0]})" for each in dense)
    on_windows, behind, whole = plan.multiplications
    limit = "dense" if plan.dense else f"{whole / (on_windows + behind):.1f}"
    ratio = medians[best] / medians[OURS]
    return (
        f"| {name} | {pixels} | {limit} | **{ratio:.2f}** | {way} | {1e3 * medians[OURS]:.3f} | {best} | {ways} "
        f"| {apart:.0e} | {verdicts} |"
    )


def memory(name: str, pixels: int) -> str:
    """Peak memory of a process of its own for each way, in MiB."""
    peaks = []
    for way in ("dense", "incremental"):
        command = [sys.executable, __file__, "--peak", way, "--nets", name, "--pixels", str(pixels)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    return f"| {name} | {pixels} | {peaks[0]:.0f} | {peaks[1]:.0f} |"


@torch.inference_mode()
def peak(way: str, name: str, pixels: int) -> float:
    """MiB that the process has held at most, after 128 candidates of one base image."""
    net, shape = network(name)
    incremental = Incremental(net, shape)
    _, edits = drawn(shape, 128, pixels, 1)
    handles = np.repeat(incremental.base(noise(shape, 1)), 128)
    for part in (slice(0, 64), slice(64, 128)):
        run: Callable[[np.ndarray, Edits], torch.Tensor] = incremental.dense if way == "dense" else incremental.scores
        run(handles[part], edits.take(part))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure what the command line asks for."""
    names = [*SHIPPED, *NETS, *(["squeezenet-227"] if SQUEEZENET.is_file() else [])]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--pixels", nargs="+", type=int, default=[1], help="changed pixels a candidate")
    parser.add_argument("--rounds", type=int, default=7, help="turns of all ways")
    parser.add_argument("--candidates", type=int, default=256, help="candidates a turn")
    parser.add_argument(
        "--batches", nargs="+", type=int, default=list(BATCHES), help="rows a dense pass, to choose from"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-memory", action="store_true", help="leave the second table out")
    parser.add_argument("--peak", choices=["dense", "incremental"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    # As pinprick's own command does; every way gains by it.
    keep_freed_memory()
    if given.peak:
        print(peak(given.peak, given.nets[0], given.pixels[0]))
        return
    print(f"{processor()}, one thread, torch {torch.__version__}, {given.rounds} rounds")
    print("ms a candidate (rows a pass); limit: multiplications of the dense network over those that are left\n")
    print("| network | pixels | limit | ratio | ours | ms | best dense | dense | apart | other verdicts |")
    print("|" + " --- |" * 10)
    for name in given.nets:
        for pixels in given.pixels:
            row = measure(name, pixels, given.rounds, given.candidates, given.batches, compiled=not given.no_compile)
            print(row, flush=True)
    if not given.no_memory:
        print("\n| network | pixels | MiB dense | MiB incremental |\n| --- | --- | --- | --- |")
        for name in given.nets:
            print(memory(name, given.pixels[0]), flush=True)


if __name__ == "__main__":
    try:
        main()
    except PinprickError as error:
        sys.exit(str(error))
