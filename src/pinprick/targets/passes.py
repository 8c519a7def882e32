"""Forward passes of one fixed number of rows, and what to do when one of them fails.

Every local pass has exactly ``rows`` rows, or as many whole pieces as it needs of a target that computes pieces of one
size; short batches are padded with base images. A row's scores then do not depend on how many other rows there are
(batches of other sizes differ by about 1e-5, which changes the course of an evolution). A pass that raises is split,
each part padded again, until the guilty rows are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import HaltError, InputError, OutOfMemoryError, PinprickError, message, one_line
from pinprick.goals import Scores
from pinprick.targets.base import Outputs, Target

ROWS = {"cpu": 64, "cuda": 1024}
"""Rows a pass by default. 64 rows are as fast as 256 a row on the CPU, and leave less padding."""
LARGE, LARGE_ROWS = 96 * 96, 16
"""Positions of an image from which on a local pass on the CPU has so few rows by default: more are no faster there, and
a run looks at its model in a dozen passes before it begins."""
VERIFYING_ROWS = 2
"""Rows of a local pass that verifies: the image alone, in the first of them, so that its scores hang on nothing else.
A full pass would cost as much as hundreds of candidates on windows. Not 1, which some models take for no batch."""
PROBABILITY_OVER = 1e-3
"""How far probabilities may leave [0, 1]; a row that goes beyond counts as failed."""
LARGEST_ROWS = 2**16
LARGEST_BYTES = 2**33
"""Limits of a pass: rows, and memory of its images as single precision floats. More is no faster, and may take all
memory before that is noticed."""


@dataclass
class Answers:
    """Scores ``(N, K)``, how often each row was sent, and the reasons why rows have no scores (theirs are NaN).

    ``sent (N,)`` counts the passes that a row went to the target in: 1, and one more for each time that its pass
    raised and was split. Padding is not in it.
    """

    scores: Scores
    sent: NDArray[np.int64]
    reasons: dict[int, str] = field(default_factory=dict)


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether images ``(C, H, W)`` are so large that few of them fill a pass."""
    return shape[1] * shape[2] >= LARGE


def default_rows(target: Target, shape: tuple[int, ...] | None = None) -> int:
    """Rows a pass for the device that the target lives on; a multiple of the rows that it takes at a time.

    ``shape``: ``(C, H, W)`` of the images, where they are known; there are fewer of large ones.
    """
    device = getattr(target, "device", torch.device("cpu"))
    usual, step = target.usual_rows or ROWS.get(device.type, 256), target.fixed_rows or 1
    if shape is not None and is_large(shape) and target.local and device.type == "cpu":
        usual = min(usual, LARGE_ROWS)
    return max(step, usual // step * step)


def fewer_rows(target: Target, rows: int) -> int:
    """Half the rows, for when so many did not fit into memory; 0 where the target takes no fewer."""
    step = target.fixed_rows or 1
    return 0 if rows <= step else max(step, rows // 2 // step * step)


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
    InputError : passes beyond :data:`LARGEST_ROWS` or :data:`LARGEST_BYTES`.
    """
    check_rows(images.shape[1:], rows)
    whole = target.answers(images, rows, fresh=not fast)
    if whole is None:
        answers = [
            _counted(target, images[start : start + rows], rows, pad, fast) for start in range(0, len(images), rows)
        ] or [none_of(target, 0)]
        whole = joined(answers)
    whole.reasons = unusable(whole.scores, target.outputs) | whole.reasons
    if whole.reasons:
        whole.scores[list(whole.reasons)] = np.nan
    return whole


def unusable(scores: Scores, outputs: Outputs) -> dict[int, str]:
    """The rows ``(N, K)`` that are no scores, and why."""
    reasons: dict[int, str] = {}
    if outputs == "probabilities":
        inside = (scores >= -PROBABILITY_OVER) & (scores <= 1 + PROBABILITY_OVER)
        for row in np.flatnonzero(~inside.all(axis=1)):
            reasons[int(row)] = "the target's probabilities leave [0, 1]"
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        reasons[int(row)] = "the target's scores are not finite (NaN or infinity)"
    return reasons


def check_rows(shape: tuple[int, ...], rows: int) -> None:
    """Raise InputError where passes of ``rows`` images of ``shape`` (C, H, W) go beyond what a pass may be."""
    most = min(LARGEST_ROWS, max(1, LARGEST_BYTES // (4 * prod(shape))))
    if rows > most:
        raise InputError(
            "--batch-size",
            f"{rows} images of {' x '.join(map(str, shape))} a pass",
            f"Give at most {most}; {ROWS['cpu']} on the CPU and {ROWS['cuda']} on CUDA are about as fast as more.",
        )


def widened(scores: Scores, width: int) -> Scores:
    """Rows ``(N, K)`` with zeros added up to ``width``, as labels need that show up one by one; NaN rows stay NaN."""
    if scores.shape[1] == width:
        return scores
    wide = np.zeros((len(scores), width), scores.dtype)
    wide[:, : scores.shape[1]] = scores
    wide[np.isnan(scores).any(axis=1)] = np.nan
    return wide


def stacked(parts: Sequence[Scores]) -> Scores:
    """Rows of several passes as one array ``(N, K)``, all of the width of the widest."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([widened(part, width) for part in parts])


def joined(parts: Sequence[Answers]) -> Answers:
    """The rows of one or more parts after each other."""
    reasons: dict[int, str] = {}
    start = 0
    for part in parts:
        reasons |= {start + row: reason for row, reason in part.reasons.items()}
        start += len(part.sent)
    return Answers(stacked([part.scores for part in parts]), np.concatenate([part.sent for part in parts]), reasons)


def none_of(target: Target, n: int) -> Answers:
    """``n`` rows that were sent once and got no scores."""
    return Answers(np.full((n, target.classes or target.at_least), np.nan, np.float32), np.ones(n, np.int64))


def _counted(
    target: Target, images: NDArray[np.uint8], rows: int, pad: NDArray[np.uint8] | None, fast: bool
) -> Answers:
    """A pass, booked in the target's ledger where it has one."""
    ledger = target.ledger
    if ledger is None:
        return _pass(target, images, rows, pad, fast)
    ledger.note(asked=len(images))
    before = ledger.sent
    try:
        part = _pass(target, images, rows, pad, fast)
    except PinprickError:
        ledger.note(**{"failed" if ledger.sent > before else "cut": len(images)})
        raise
    failed = len(part.reasons.keys() | unusable(part.scores, target.outputs).keys())
    ledger.note(answered=len(images) - failed, failed=failed)
    return part


def _pass(
    target: Target,
    images: NDArray[np.uint8],
    rows: int,
    pad: NDArray[np.uint8] | None,
    fast: bool,
    *,
    again: bool = False,
) -> Answers:
    n = len(images)
    batch = images
    if target.ledger is not None:
        target.ledger.sending(n, again=again)
    try:
        # Pieces that are computed one by one have the same bits in shorter passes.
        piece = target.piece(fast=fast) or rows
        full = min(rows, -(-n // piece) * piece)
        if target.local and n < full:
            batch = np.empty((full, *images.shape[1:]), np.uint8)
            batch[:n], batch[n:] = images, images[0] if pad is None else pad
        return Answers(target.scores(target.images(batch), fast=fast)[:n], np.ones(n, np.int64))
    except (InputError, HaltError):
        raise
    except (Exception, SystemExit) as error:
        # A model that calls sys.exit has failed; it must not take the run with it.
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"a pass of {rows} rows of {images.shape[1:]} does not fit into memory") from error
        reason = one_line(error)
    if n == 1:
        alone = none_of(target, 1)
        alone.reasons[0] = reason
        return alone
    half = n // 2
    split = joined([_pass(target, part, rows, pad, fast, again=True) for part in (images[:half], images[half:])])
    split.sent += 1
    return split


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, the computer's or the graphics card's, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = message(error).lower()
    return "can't allocate memory" in text or "out of memory" in text


def fitting_rows(target: Target, image: NDArray[np.uint8], rows: int) -> int:
    """The largest of ``rows``, half of it, a quarter … at which one full pass fits into memory (see fewer_rows).

    Remote targets are not asked: what they can hold is their own affair, and each row may cost.

    Raises
    ------
    OutOfMemoryError : not even one row fits, or the rows that the target takes at a time.
    InputError : passes beyond :data:`LARGEST_ROWS` or :data:`LARGEST_BYTES`; no multiple of what it takes at a time.
    """
    check_rows(image.shape, rows)
    if target.fixed_rows is not None and rows % target.fixed_rows:
        step = target.fixed_rows
        right = "Leave it out." if step == 1 else f"Give a multiple of {step}, or leave it out."
        raise InputError("--batch-size", f"{rows}, and {target.name} takes {step} images at a time", right)
    while target.local:
        batch = np.broadcast_to(image, (rows, *image.shape))
        try:
            ask(target, batch, rows, pad=image, fast=True)
            return rows
        except OutOfMemoryError:
            if not (fewer := fewer_rows(target, rows)):
                raise
            rows = fewer
    return rows


def repeat_drift(target: Target, images: NDArray[np.uint8], rows: int) -> float:
    """How much scores change when one full pass of images ``(N, C, H, W)`` uint8 is asked again, against the largest.

    0 for a target that is not random, but for arithmetic that a graphics card does in no fixed order (about 1e-6).
    """
    batch = np.resize(images, (rows, *images.shape[1:]))
    once, again = (ask(target, batch, rows, pad=batch[0]).scores for _ in range(2))
    return _apart(once, again)


def _apart(one: Scores, other: Scores) -> float:
    """The largest difference of two answers to the same images, where both are finite, against the largest score."""
    width = max(one.shape[1], other.shape[1])
    one, other = widened(one, width), widened(other, width)
    known = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    if not known.any():
        return 0.0
    gap = np.abs(one[known].astype(np.float64) - other[known]).max()
    return float(gap) / max(1e-12, float(np.abs(one[known]).max()))


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
        worst = max(worst, _apart(there, back))
    return worst
