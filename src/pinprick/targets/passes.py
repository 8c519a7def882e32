"""Forward passes of one fixed number of rows, and what to do when one of them fails.

Every local pass has exactly ``rows`` rows; short batches are padded with base images. A row's scores then do not
depend on how many other rows there are (batches of other sizes differ by about 1e-5, which changes the course of an
evolution). A pass that raises is split, each part padded again, until the guilty rows are found.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, OutOfMemoryError, one_line
from pinprick.targets.base import Target

ROWS = {"cpu": 64, "cuda": 1024}
"""Rows a pass by default. 64 rows are as fast as 256 a row on the CPU, and leave less padding."""


@dataclass
class Answers:
    """Scores ``(N, K)`` float32, and the reasons why rows have none (theirs are NaN)."""

    scores: NDArray[np.float32]
    reasons: dict[int, str] = field(default_factory=dict)


def default_rows(target: Target) -> int:
    """Rows a pass for the device that the target lives on."""
    device = getattr(target, "device", torch.device("cpu"))
    return ROWS.get(device.type, 256)


def ask(
    target: Target, images: NDArray[np.uint8], rows: int, *, pad: NDArray[np.uint8] | None = None, fast: bool = False
) -> Answers:
    """Scores of ``(N, C, H, W)`` uint8 images, in passes of ``rows`` rows.

    Parameters
    ----------
    pad : one image ``(C, H, W)`` uint8 that short passes are filled with, known not to make the target fail; None
        fills each with its own first image, so that a pass fails exactly where it holds a guilty one.
    fast : use the target's fastest way in place of its own.

    Raises
    ------
    OutOfMemoryError : a pass does not fit into memory.
    """
    parts: list[NDArray[np.float32]] = []
    reasons: dict[int, str] = {}
    for start in range(0, len(images), rows):
        part = _pass(target, images[start : start + rows], rows, pad, fast)
        parts.append(part.scores)
        reasons |= {start + row: reason for row, reason in part.reasons.items()}
    width = max((part.shape[1] for part in parts), default=target.classes or 0)
    scores = np.full((len(images), width), np.nan, np.float32)
    for start, part_scores in zip(range(0, len(images), rows), parts, strict=True):
        if part_scores.shape[1] == width:
            scores[start : start + len(part_scores)] = part_scores
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        reasons.setdefault(int(row), "the target's scores are not finite (NaN or infinity)")
    if reasons:
        scores[list(reasons)] = np.nan
    return Answers(scores, reasons)


def _pass(target: Target, images: NDArray[np.uint8], rows: int, pad: NDArray[np.uint8] | None, fast: bool) -> Answers:
    n = len(images)
    batch = images
    if target.local and n < rows:
        batch = np.empty((rows, *images.shape[1:]), np.uint8)
        batch[:n], batch[n:] = images, images[0] if pad is None else pad
    try:
        return Answers(target.scores(target.images(batch), fast=fast)[:n])
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        # A model that calls sys.exit has failed; it must not take the run with it.
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"a pass of {rows} rows of {images.shape[1:]} does not fit into memory") from error
        reason = one_line(error)
    if n == 1:
        return Answers(np.full((1, target.classes or 0), np.nan, np.float32), {0: reason})
    half = n // 2
    first = _pass(target, images[:half], rows, pad, fast)
    second = _pass(target, images[half:], rows, pad, fast)
    width = max(first.scores.shape[1], second.scores.shape[1])
    scores = np.full((n, width), np.nan, np.float32)
    for start, part in ((0, first), (half, second)):
        if part.scores.shape[1] == width:
            scores[start : start + len(part.scores)] = part.scores
    return Answers(scores, first.reasons | {half + row: text for row, text in second.reasons.items()})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, the computer's or the graphics card's, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text.lower())


def fitting_rows(target: Target, image: NDArray[np.uint8], rows: int) -> int:
    """The largest of ``rows``, half of it, a quarter … at which one full pass fits into memory.

    Raises
    ------
    OutOfMemoryError : not even one row fits.
    """
    while True:
        batch = np.broadcast_to(image, (rows, *image.shape))
        try:
            ask(target, np.ascontiguousarray(batch), rows, pad=image, fast=True)
            return rows
        except OutOfMemoryError:
            if rows == 1:
                raise
            rows //= 2


def row_drift(target: Target, images: NDArray[np.uint8], rows: int) -> float:
    """How much an image's scores change with its place among others in a pass, relative to the largest score.

    0 (bit for bit) is what the same answer every time rests on. Around 1e-6 is arithmetic in another order; more than
    1e-3 means that the model mixes images, as batch norm in training mode does.

    Parameters
    ----------
    images : ``(N, C, H, W)`` uint8; one full pass of them is compared with the same images in reverse order.
    """
    batch = np.resize(images, (rows, *images.shape[1:]))
    worst = 0.0
    for fast in (True, False):
        there = ask(target, batch, rows, pad=batch[0], fast=fast).scores
        back = ask(target, np.ascontiguousarray(batch[::-1]), rows, pad=batch[0], fast=fast).scores[::-1]
        known = np.isfinite(there).all(axis=1) & np.isfinite(back).all(axis=1)
        if known.any() and there.shape[1]:
            gap = np.abs(there[known].astype(np.float64) - back[known]).max()
            worst = max(worst, float(gap) / max(1e-12, float(np.abs(there[known]).max())))
    return worst
