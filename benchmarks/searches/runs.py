"""Runs that the scripts here compare: kept in folders, continued where they were stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.searches.sketch import SketchPixels

import pinprick
from pinprick.attacks.registry import ATTACKS
from pinprick.intervals import wilson
from pinprick.metrics.budget import cost_of_success
from pinprick.runs.result import RunResult


@dataclass(frozen=True)
class Images:
    """Which images are attacked: the first ``n`` of ``data`` that the model gets right."""

    data: str
    n: int
    out: Path


def common(parser: argparse.ArgumentParser, *, models: Sequence[str], pixels: Sequence[int]) -> None:
    """The options of all scripts here."""
    parser.add_argument("--data", default="cifar10:test")
    parser.add_argument("--models", nargs="+", default=list(models))
    parser.add_argument("--images", type=int, default=100, help="the first so many right ones")
    parser.add_argument("--pixels", type=int, nargs="+", default=list(pixels))
    parser.add_argument("--out", type=Path, default=Path("runs/bench/searches"))


def kept(images: Images, name: str, model: str, attack: str, **options: Any) -> RunResult:
    """The run ``name``, begun, continued or read from its folder."""
    ATTACKS.setdefault("sketch", SketchPixels)
    out = images.out / f"{name}-{model}"
    say = print if options.pop("loud", False) else (lambda _: None)
    return pinprick.attack(
        model, images.data, attack=attack, first=images.n, baseline="none", out=out, say=say, **options
    )


def of(table: pa.Table, pixels: int) -> pa.Table:
    """The rows with this number of pixels."""
    return table.filter(pc.equal(table["pixels"], pixels))


def share(fooled: int, n: int) -> str:
    """``25 of 100 (17.5 to 34.3 %)``."""
    low, high = wilson(fooled, n)
    return f"{fooled} of {n} ({100 * low:.1f} to {100 * high:.1f} %)"


def within(table: pa.Table, budget: int) -> int:
    """How many units a run with ``budget`` questions fools, of an attack whose course does not follow its budget."""
    return int((cost_of_success(table) <= budget).sum())


def fooled(table: pa.Table) -> set[str]:
    """The images that were."""
    return set(table.filter(pc.equal(table["status"], "fooled"))["image"].to_pylist())


def asked(table: pa.Table) -> float:
    """Questions a unit, mean."""
    return float(np.mean(table["asked"].to_numpy()))


def to_success(table: pa.Table) -> float:
    """Questions of the fooled units, mean; NaN without one."""
    costs = cost_of_success(table)
    found = costs[np.isfinite(costs)]
    return float(found.mean()) if len(found) else float("nan")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(f"{each:,.0f}" if isinstance(each, float) else str(each) for each in row) + " |")
