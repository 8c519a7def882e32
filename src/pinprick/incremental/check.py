"""Whether the incremental way gives the same scores as the dense one here, and how much faster it is."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.edits import Edits, Images
from pinprick.errors import InputError
from pinprick.incremental.engine import Incremental
from pinprick.incremental.plan import Plan

_STREAM = 21
_ROUNDING = 5e-6
"""Differences up to this share of the largest score are rounding, whatever two dense ways say."""


@dataclass(frozen=True)
class Check:
    """What was found for one number of pixels.

    Parameters
    ----------
    plan : what is carried on windows.
    agrees : every score is the module's own but for rounding, and within the tolerance.
    difference : the largest, relative to the largest score.
    steady : every candidate's scores have the same bits alone, in another order and among others.
    ratio : dense time over incremental time, medians of turns; above 1 incremental is faster. NaN where none was taken.
    """

    plan: Plan
    agrees: bool
    difference: float
    steady: bool
    ratio: float

    @property
    def use(self) -> bool:
        """Whether the incremental way is exact here, and faster."""
        return self.agrees and self.steady and self.ratio > 1


def check(
    engine: Incremental,
    pixels: int = 1,
    *,
    images: Images | None = None,
    candidates: int = 128,
    rounds: int = 5,
    tolerance: float = 1e-4,
) -> Check:
    """Score random edits both ways, compare and time them.

    Parameters
    ----------
    images : ``(B, C, H, W)`` uint8 base images, by default two of noise.
    candidates : how many edits are scored; at the corners of the image some of them.
    rounds : how often each way is timed, in turn.
    tolerance : largest difference that counts as agreement, relative to the largest score.

    Raises
    ------
    InputError : pixels, candidates or rounds that are no whole numbers of 1 or more, more pixels than an image has, no
        image.
    """
    _, height, width = engine.shape
    for name, value, most in (
        ("pixels", pixels, height * width),
        ("candidates", candidates, 1 << 20),
        ("rounds", rounds, 1 << 10),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InputError(name, repr(value), f"Give a whole number from 1 to {most}.")
    given = noise(engine.shape) if images is None else images
    if not len(given):
        raise InputError("images", "none", "Give one base image or more.")
    handles = engine.base(given)
    try:
        which, edits = drawn(engine.shape, candidates, pixels, len(given))
        bases = handles[which]
        exact = _exact(engine, given[which], edits)
        difference = _apart(engine.scores(bases, edits), exact)
        # Of what rounding alone does, two dense ways give an idea; a small error in a small change is more than that.
        rounding = max(8 * _apart(engine.dense(bases, edits), exact), _ROUNDING)
        steady = _steady(engine, bases, edits)
        ratio = 1.0 if engine.plan(pixels).dense else _ratio(engine, bases, edits, rounds)
    finally:
        engine.forget(handles)
    return Check(engine.plan(pixels), difference <= min(tolerance, rounding), difference, steady, ratio)


def check_again(
    engine: Incremental, pixels: int, images: Images, *, candidates: int = 8, tolerance: float = 1e-4
) -> Check:
    """A short look at a choice that :func:`check` made before: without times, and without a whole dense pass.

    Parameters
    ----------
    images : ``(B, C, H, W)`` uint8 base images, one or more.
    """
    handles = engine.base(images)
    try:
        which, edits = drawn(engine.shape, candidates, pixels, len(images))
        difference = _apart(engine.scores(handles[which], edits), _exact(engine, images[which], edits))
        steady = _steady(engine, handles[which], edits)
    finally:
        engine.forget(handles)
    return Check(engine.plan(pixels), difference <= tolerance, difference, steady, float("nan"))


def noise(shape: tuple[int, int, int], n: int = 2) -> Images:
    """``n`` images of noise, always the same."""
    rng = np.random.Generator(np.random.Philox(key=_STREAM))
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8)


def drawn(shape: tuple[int, int, int], n: int, pixels: int, bases: int) -> tuple[NDArray[np.int64], Edits]:
    """``n`` random candidates, always the same: which base image each has, and its edits; the first at the corners."""
    rng = np.random.Generator(np.random.Philox(key=_STREAM + 1))
    channels, height, width = shape
    rows = rng.integers(0, height, (n, pixels), dtype=np.int32)
    columns = rng.integers(0, width, (n, pixels), dtype=np.int32)
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    for place, (row, column) in enumerate(corners[:n]):
        rows[place, 0], columns[place, 0] = row, column
    colours = rng.integers(0, 256, (n, pixels, channels), dtype=np.uint8)
    return rng.integers(0, bases, n), Edits(rows, columns, colours)


@torch.inference_mode()
def _exact(engine: Incremental, bases: Images, edits: Edits) -> torch.Tensor:
    """The module's own scores."""
    made = []
    for start in range(0, len(edits), 32):
        part = slice(start, start + 32)
        images = torch.from_numpy(edits.take(part).apply(bases[part])).to(engine.device)
        made.append(engine.module(images.float().div_(255)))
    return torch.cat(made)


def _apart(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest difference, relative to the largest score; infinite where one is not finite."""
    if found.shape != exact.shape or not bool(torch.isfinite(exact).all() and torch.isfinite(found).all()):
        return float("inf")
    return float((found - exact).abs().max() / exact.abs().max().clamp_min(1e-30))


def _steady(engine: Incremental, handles: NDArray[np.int64], edits: Edits) -> bool:
    together = engine.scores(handles, edits)
    turned = np.arange(len(edits))[::-1].copy()
    order = torch.from_numpy(turned).to(together.device)
    if not torch.equal(engine.scores(handles[turned], edits.take(turned)), together[order]):
        return False
    few = slice(0, min(3, len(edits)))
    return torch.equal(engine.scores(handles[few], edits.take(few)), together[few])


def _ratio(engine: Incremental, handles: NDArray[np.int64], edits: Edits, rounds: int) -> float:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for way, taken in zip((engine.dense, engine.scores), times, strict=True):
            start = time.perf_counter()
            way(handles, edits)
            if engine.device.type == "cuda":
                torch.cuda.synchronize(engine.device)
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])
