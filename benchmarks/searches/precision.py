"""What `--precision bf16` does: candidates scored in half precision beside single, on whole images.

    python -m benchmarks.searches.precision --data cifar10:test --models resnet32-cifar10 --pixels 1 3 5

First how much faster and how far off a pass is: the two ways in turn, in one thread. Then `few-pixel` by both, at
`--engine dense`: hits that the verdict, in single precision, did not confirm are counted, and cost their questions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from benchmarks.searches.runs import Images, asked, common, fooled, kept, of, print_table, share

from pinprick.cli.memory import keep_freed_memory
from pinprick.data.sets import load_images
from pinprick.runs.manifest import processor
from pinprick.targets.loading import load_target
from pinprick.targets.torch_target import TorchTarget

ROWS = 64


def speed(model: str, data: str, rounds: int) -> list[object]:
    """A row of the first table."""
    images = load_images(data)
    pixels = np.stack([images.image(number) for number in range(ROWS)])
    single, half = (cast(TorchTarget, load_target(model, device="cpu")) for _ in range(2))
    half.search_in("bf16")
    given = single.images(pixels)
    for target in (single, half):
        target.prepare(given)
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        taken = []
        for target in (single, half):
            start = time.thread_time()
            target.scores(given, fast=True)
            taken.append(1e3 * (time.thread_time() - start) / ROWS)
        times.append((taken[0], taken[1]))
    exact, low = single.scores(given, fast=True), half.scores(given, fast=True)
    apart = np.abs(exact - low).max() / np.abs(exact).max()
    others = int((exact.argmax(1) != low.argmax(1)).sum())
    ms = [statistics.median(column) for column in zip(*times, strict=True)]
    way = single.engine.removeprefix("dense, ")
    return [f"`{model}`", way, f"{ms[0]:.2f}", f"{ms[1]:.2f}", f"{ms[0] / ms[1]:.2f}", f"{apart:.1e}", others]


def unconfirmed(table: pa.Table) -> int:
    """Hits that the verdict did not confirm."""
    return int(sum(json.loads(trace).get("unconfirmed_hits", 0) for trace in table["trace"].to_pylist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common(parser, models=("allconv-cifar10", "nin-cifar10", "resnet32-cifar10"), pixels=(1, 3, 5))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-runs", action="store_true", help="only how fast a pass is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"{processor()}, one thread, torch {torch.__version__}, {given.rounds} rounds of {ROWS} images\n")
    heads = ["`--model`", "single precision by", "ms", "ms in bf16", "ratio", "apart", "other verdicts"]
    print_table(heads, [speed(model, given.data, given.rounds) for model in given.models])
    if given.no_runs:
        return
    images, pixels = Images(given.data, given.images, given.out), tuple(given.pixels)
    rows: list[list[object]] = []
    for model in given.models:
        tables = {
            kind: kept(images, f"precision-{kind}", model, "few-pixel", pixels=pixels, engine="dense",
                       precision=kind).table
            for kind in ("fp32", "bf16")
        }  # fmt: skip
        for number in pixels:
            single, half = (of(tables[kind], number) for kind in ("fp32", "bf16"))
            both = len(fooled(single) & fooled(half))
            rows.append([
                f"`{model}`", number, share(len(fooled(single)), len(single)), share(len(fooled(half)), len(half)),
                both, asked(single), asked(half), unconfirmed(half),
            ])  # fmt: skip
    print()
    print_table(
        ["`--model`", "pixels", "fooled in fp32", "in bf16", "by both", "questions", "in bf16", "hits not confirmed"],
        rows,
    )


if __name__ == "__main__":
    main()
