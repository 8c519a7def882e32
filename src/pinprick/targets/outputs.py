"""Deciding what a classifier puts out: logits, probabilities or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError, OutputsError, TargetError, one_line
from pinprick.targets.base import Outputs, Target

SAMPLE = 32
"""Images that the decision is made on, at least; uniform noise makes up the number."""
_SUM_TOLERANCE = 1e-3
_SAY = "Say which with --outputs logits, probabilities or labels."


def detect_outputs(name: str, answer: NDArray[Any]) -> Outputs:
    """What rows like these are, from the answer to :data:`SAMPLE` or more images; refuses doubt.

    ``(N,)`` integers are labels. ``(N, K)`` rows in [0, 1] that sum to 1 are probabilities. Rows that leave [0, 1]
    and have differing sums are logits (log-probabilities among them: the softmax of either is the same).

    Raises
    ------
    OutputsError : anything else: one float an image, NaN, one-hot rows, rows in [0, 1] that do not sum to 1
        (sigmoids), rows that all have one other sum (percentages).
    """
    what = f"outputs of {name!r}"
    if answer.dtype.kind in "iu" and answer.size == len(answer):
        return "labels"
    if answer.dtype.kind == "f" and answer.size == len(answer):
        raise OutputsError(
            what,
            "one float an image",
            "Say --outputs labels where these are classes; of a probability p, give the columns 1 - p and p.",
        )
    if answer.ndim != 2 or answer.shape[1] < 2:
        raise OutputsError(what, f"an answer of shape {answer.shape} and type {answer.dtype}", _SAY)
    rows = answer.astype(np.float64)
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        raise OutputsError(what, f"{bad} of {len(rows)} rows hold NaN or infinity", _SAY)
    sums = rows.sum(axis=1)
    if (rows >= 0).all() and (rows <= 1 + _SUM_TOLERANCE).all():
        if np.abs(sums - 1).max() > _SUM_TOLERANCE:
            raise OutputsError(what, "values in [0, 1] that do not sum to 1 (sigmoids?)", _SAY)
        if np.isin(rows, (0.0, 1.0)).all():
            raise OutputsError(what, "each row is a single 1 among zeros: labels, or saturated probabilities", _SAY)
        return "probabilities"
    if np.ptp(sums) <= _SUM_TOLERANCE * max(1.0, float(np.abs(sums).max())) and (rows >= 0).all():
        raise OutputsError(what, f"non-negative rows that all sum to {sums[0]:.4g} (percentages?)", _SAY)
    return "logits"


def settle(target: Target, images: NDArray[np.uint8]) -> str | None:
    """Decide ``target.outputs`` where it is ``auto``, and return a line that says what was decided and why.

    Parameters
    ----------
    images : some of the run's images, ``(N, C, H, W)`` uint8; fewer than :data:`SAMPLE` are made up by noise.

    Raises
    ------
    OutputsError : there is doubt, or the target is remote (asking it costs the user something).
    """
    if target.outputs != "auto":
        return _doubt(target, with_noise(images, SAMPLE)) if target.local else None
    if not target.local:
        raise OutputsError(f"outputs of {target.name!r}", "the target is remote, they are not guessed", _SAY)
    sample = with_noise(images, SAMPLE)
    if (line := target.choose_outputs(target.images(sample))) is not None:
        return line
    answer = _answer(target, sample)
    target.outputs = detect_outputs(target.name, answer)
    if answer.ndim == 2 and target.outputs != "labels" and target.classes is None:
        target.classes = int(answer.shape[1])
    why = {
        "labels": "one integer an image",
        "probabilities": "all rows in [0, 1] with sum 1",
        "logits": "rows that leave [0, 1] or do not sum to 1",
    }[target.outputs]
    noise = max(0, SAMPLE - len(images))
    of_these = f", {noise} of them random ones, as there are few" if noise else ""
    return f"outputs of {target.name}: {target.outputs} ({why}; {len(sample)} images{of_these})"


def _doubt(target: Target, sample: NDArray[np.uint8]) -> str | None:
    """A warning where logits that were declared look like probabilities; a note where labels are made of scores.

    Raises
    ------
    OutputsError : probabilities were declared and the values leave [0, 1].
    """
    answer = _answer(target, sample)
    if target.outputs == "labels":
        if answer.ndim != 2 or answer.shape[1] < 2 or answer.dtype.kind != "f":
            return None
        target.labels_of_scores = True
        target.classes = target.classes or int(answer.shape[1])
        return f"outputs of {target.name}: labels only; of its scores the foremost class is told, and nothing else"
    if answer.ndim != 2 or not answer.size:
        return None
    rows = answer.astype(np.float64)
    inside = rows.min() >= -_SUM_TOLERANCE and rows.max() <= 1 + _SUM_TOLERANCE
    if target.outputs == "probabilities" and not inside:
        raise OutputsError(
            f"outputs of {target.name!r}",
            f"declared probabilities, and values go from {rows.min():.3g} to {rows.max():.3g}",
            "Say --outputs logits, or auto.",
        )
    if target.outputs == "logits" and inside and np.abs(rows.sum(axis=1) - 1).max() <= _SUM_TOLERANCE:
        return (
            f"warning: {target.name} was declared to give logits, and its rows look like probabilities (in [0, 1], sum "
            "1); a second softmax flattens them"
        )
    return None


def _answer(target: Target, sample: NDArray[np.uint8]) -> NDArray[Any]:
    """The target's raw answer to the sample, without images that it fails on, as long as enough others are left.

    Such images fail later, each for itself; they should not keep the others from being attacked.
    """
    try:
        answer = _rows(target, sample)
        if _finite(answer).all():
            return answer
        reason = f"NaN or infinity for {int((~_finite(answer)).sum())} of {len(sample)}"
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        reason = one_line(error)
    kept = []
    for image in with_noise(sample, len(sample) + SAMPLE):
        try:
            answer = _rows(target, image[None])
            if _finite(answer).all():
                kept.append(answer)
        except (Exception, SystemExit) as error:
            reason = one_line(error)
    if len(kept) < SAMPLE:
        raise OutputsError(
            f"outputs of {target.name!r}",
            f"it failed on most of {len(sample)} images ({reason})",
            "See what it returns for one image of shape (1, C, H, W), float32 in [0, 1].",
        )
    if len(widths := sorted({answer.shape[1:] for answer in kept})) > 1:
        first, second = (" x ".join(map(str, width)) or "one number" for width in widths[:2])
        raise OutputsError(
            f"outputs of {target.name!r}",
            f"rows of differing width, {first} and {second} for one image each",
            "Give a score for every class, whatever the image.",
        )
    return np.concatenate(kept)


def _rows(target: Target, images: NDArray[np.uint8]) -> NDArray[Any]:
    """The target's raw answer, which has to have a row an image.

    Raises
    ------
    TargetError : it has not.
    """
    answer = target.answer(target.images(images))
    if answer.shape[:1] != (len(images),):
        many = f"{len(images)} image{'s' if len(images) > 1 else ''}"
        raise TargetError(f"it returned {answer.dtype} of shape {answer.shape} for {many}")
    return answer


def _finite(answer: NDArray[Any]) -> NDArray[np.bool_]:
    """Of each row, whether all of it is finite."""
    bad = ~np.isfinite(answer.reshape(len(answer), -1).astype(np.float64))
    rows: NDArray[np.bool_] = bad.sum(axis=1) == 0
    return rows


def with_noise(images: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """``images`` followed by uniform noise up to ``n`` images."""
    missing = n - len(images)
    if missing <= 0:
        return images
    noise = np.random.default_rng(0).integers(0, 256, (missing, *images.shape[1:]), dtype=np.uint8)
    return np.concatenate([images, noise])
