"""The network as other libraries take it: a torch module that counts its rows, on the engine fastest for them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.targets.torch_target import TorchTarget, folded

Engine = Callable[[torch.Tensor], torch.Tensor]
"""Images ``(N, C, H, W)`` float32 in [0, 1] to raw scores ``(N, K)``."""

TORCH, FOLDED, ONNX = "torch", "torch folded", "onnxruntime"
BATCHES = (128, 64, 400)
"""Of a population; 128 is what the libraries do by themselves."""
POPULATION = 400


class Way(NamedTuple):
    """How a library puts its candidates through the network."""

    engine: str
    batch: int

    def __str__(self) -> str:
        return f"{self.engine}, batch {self.batch}"


@dataclass(frozen=True)
class Setting:
    """What every attack of one table is given.

    Parameters
    ----------
    target : the network, prepared; ``engines`` are ways to compute the same scores.
    sample : ``(400, C, H, W)`` uint8, for the timing that chooses engine and batch.
    pixels : how many may change.
    generations : of a population of 400; the paper's are 100, so 40 400 questions.
    chosen : of each kind of attack the engine and batch that were fastest, and the rates, once they are known.
    """

    target: TorchTarget
    engines: Mapping[str, Engine]
    sample: NDArray[np.uint8] = field(repr=False)
    pixels: int = 1
    generations: int = 100
    chosen: dict[str, tuple[Way, str]] = field(default_factory=dict)

    def choose(self, name: str, ways: Mapping[Way, Callable[[], Any]], rows: int) -> tuple[Way, str]:
        """Which of ``ways`` to put ``rows`` through is fastest for attacks of the kind ``name``, and what was timed.

        First the engine, at the first batch of each, then the batch on that engine. Timed once: an attack that is built
        again is built alike.
        """
        if name not in self.chosen:
            rates: dict[Way, float] = {}
            for way, work in ways.items():
                if way.engine not in {timed.engine for timed in rates}:
                    rates[way] = rate(work, rows)
            best = fastest(rates)
            for way, work in ways.items():
                if way.engine == best.engine and way not in rates:
                    rates[way] = rate(work, rows)
            self.chosen[name] = fastest(rates), told(rates)
        return self.chosen[name]

    @property
    def questions(self) -> int:
        """What all searches may ask of an image but those that stop much earlier by themselves."""
        return POPULATION * (self.generations + 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        _, channels, height, width = self.sample.shape
        return channels, height, width

    @property
    def classes(self) -> int:
        """How many classes the network knows."""
        assert self.target.classes is not None
        return self.target.classes


class PeerNet(nn.Module):
    """An engine as a torch module, counting rows; ``softmax`` appends one, for what minimises whatever comes out."""

    def __init__(self, engine: Engine, *, softmax: bool = False) -> None:
        super().__init__()
        self.engine, self.softmax, self.rows = engine, softmax, 0
        # Libraries ask the first parameter for the device.
        self.unused = nn.Parameter(torch.zeros(1), requires_grad=False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.rows += len(images)
        scores = self.engine(images)
        return scores.softmax(dim=1) if self.softmax else scores

    def counted(self) -> int:
        """Rows since the last call."""
        rows, self.rows = self.rows, 0
        return rows


def engines(target: TorchTarget, images: NDArray[np.uint8], threads: int) -> dict[str, Engine]:
    """Ways to compute the scores of a prepared target that agree on ``images (N, C, H, W)`` to 1e-3 of the largest.

    The module as it is, a copy with batch norm folded in channels last, and ONNX Runtime with ``threads`` threads.
    """
    found: dict[str, Engine] = {TORCH: target.raw, FOLDED: _folded(target), ONNX: _onnx(target, threads)}
    batch = target.images(images)
    exact = target.raw(batch)
    for name, engine in found.items():
        off = float((engine(batch) - exact).abs().max()) / max(1.0, float(exact.abs().max()))
        if not off <= 1e-3:
            raise RuntimeError(f"{name} computes another network: scores differ by {off:.2g} of the largest")
    return found


def _folded(target: TorchTarget) -> Engine:
    before = target.preprocess or nn.Identity()
    module = folded(target.module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = module(before(images).contiguous(memory_format=torch.channels_last))
        return scores

    return run


def _onnx(target: TorchTarget, threads: int) -> Engine:
    import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

    assert target.shape is not None
    parts = [part for part in (target.preprocess, target.module) if part is not None]
    module = nn.Sequential(*parts).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter warns of its own future.
        warnings.simplefilter("ignore")
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            module,
            (torch.zeros(2, *target.shape),),
            str(path),
            input_names=["images"],
            output_names=["scores"],
            dynamic_axes={"images": {0: "rows"}, "scores": {0: "rows"}},
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: torch.Tensor) -> torch.Tensor:
        (scores,) = session.run(None, {"images": images.detach().numpy()})
        return torch.from_numpy(scores)

    return run


def rate(work: Callable[[], Any], rows: int, *, seconds: float = 0.3, least: int = 2) -> float:
    """Rows a second of ``work``, which puts ``rows`` through; the quickest of ``least`` calls or more, after one.

    Of one thread the processor's time is taken, so that other work on the machine does not make the choice.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    work()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        start = clock()
        work()
        times.append(clock() - start)
    return rows / max(min(times), 1e-9)


def fastest(rates: Mapping[Way, float]) -> Way:
    """The one with the highest rate."""
    return max(rates, key=lambda way: rates[way])


def told(rates: Mapping[Way, float]) -> str:
    """``onnxruntime, batch 64: 812/s; torch, batch 128: 640/s``, fastest first."""
    return "; ".join(f"{way}: {rates[way]:,.0f}/s" for way in sorted(rates, key=lambda way: -rates[way]))
