"""What the scores of a few images tell of a target: the usual traps, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from math import e

import numpy as np
from numpy.typing import NDArray

from pinprick.goals import Scores

SUM_TOLERANCE = 1e-3
MIXED = 1e-3
"""Scores that change by more of their size with what else is in a pass are not those of one image."""
CONFIDENT = 0.9
OFTEN = 0.25
"""A network is taken to be this sure of its class on this share of the images, at least, where that has to be seen."""
SATURATED = 0.02
"""Share of images with a probability of exactly 1 from which that is warned of."""
TIED = 0.02
"""Share of images whose two foremost classes have exactly equal scores from which that is warned of."""
UNMOVED = 0.5
"""Share of single-pixel changes that leave every score as it is from which that is warned of."""


@dataclass(frozen=True)
class Trap:
    """Something about a target that makes figures wrong, or a search slow or blind.

    Parameters
    ----------
    name : a word for programs, such as ``saturated``.
    found : what was seen.
    advice : what to do about it.
    """

    name: str
    found: str
    advice: str


def score_traps(scores: Scores, outputs: str) -> list[Trap]:
    """Traps that the scores ``(N, K)`` of distinct images show; rows that are not finite are left out."""
    rows = scores[np.isfinite(scores).all(axis=1)].astype(np.float64)
    if outputs == "labels" or len(rows) < 2:
        return []
    traps = []
    if outputs == "probabilities":
        traps += [*_sums(rows), *_saturated(scores), *_twice(rows)]
    traps += [*_precision(scores), *_ties(rows)]
    if len(np.unique(rows, axis=0)) == 1:
        traps.append(
            Trap(
                "constant",
                f"{len(rows)} different images have exactly the same scores",
                "See that images reach the network: their size, range (--normalize) and layout.",
            )
        )
    return traps


def _sums(rows: NDArray[np.float64]) -> list[Trap]:
    sums = rows.sum(axis=1)
    if np.abs(sums - 1).max() <= SUM_TOLERANCE:
        return []
    found = f"probabilities sum to {sums.min():.3g} to {sums.max():.3g} an image, not to 1"
    return [Trap("sums", found, "Take the softmax of the logits, or give the logits and --outputs logits.")]


def _saturated(scores: Scores) -> list[Trap]:
    full = int((scores.max(axis=1) == 1).sum())
    if full < max(1, SATURATED * len(scores)):
        return []
    kind = "double" if scores.dtype == np.float64 else "single"
    return [
        Trap(
            "saturated",
            f"for {full} of {len(scores)} images a probability is exactly 1 in {kind} precision: nothing that a search "
            "could follow is left there",
            "Give the logits, the network without its last softmax.",
        )
    ]


def _twice(rows: NDArray[np.float64]) -> list[Trap]:
    """Whether every row is the softmax of probabilities.

    If p = softmax(q) and the sum of q is 1, then q = log p - mean(log p) + 1 / K; that the q of all rows come out as
    probabilities, many of them near 1, hardly happens by chance.
    """
    classes = rows.shape[1]
    if (rows <= 0).any():
        return []
    logs = np.log(rows)
    inner = logs - logs.mean(axis=1, keepdims=True) + 1 / classes
    if inner.min() < -SUM_TOLERANCE or (inner.max(axis=1) > CONFIDENT).mean() < OFTEN:
        return []
    return [
        Trap(
            "softmax-twice",
            f"no probability exceeds {rows.max():.3g}, and all are as if a softmax was taken of probabilities (then "
            f"none exceeds {e / (e + classes - 1):.3g})",
            "Take one of the two away: many losses and servers add a softmax to networks that have one.",
        )
    ]


def _precision(scores: Scores) -> list[Trap]:
    single = scores.astype(np.float32)
    inside = single[(single != 0) & (np.abs(single) < 6e4) & (np.abs(single) > 1e-4)]
    if len(np.unique(inside)) < 16:
        return []
    with np.errstate(over="ignore"):
        half = bool((inside.astype(np.float16).astype(np.float32) == inside).all())
    brain = not (inside.view(np.uint32) & 0xFFFF).any()
    if half or brain:
        kind = "the precision of bfloat16" if brain else "half precision (float16)"
        return [
            Trap(
                "half-precision",
                f"all scores have {kind}: small changes are rounded away, and ties are frequent",
                "Have the network compute, or at least put out, single precision.",
            )
        ]
    exact = scores[np.isfinite(scores).all(axis=1)].astype(np.float64)
    spacing = float(np.spacing(np.float32(np.abs(exact).max())))
    for digits in range(1, 6):
        # Of large numbers single precision itself holds few decimals.
        if 10.0**-digits > 32 * spacing and np.abs(np.round(exact, digits) - exact).max() <= spacing:
            return [
                Trap(
                    "rounded",
                    f"all scores have {digits} decimals or fewer: small changes are rounded away",
                    "Have the model put out all digits. Scores of forests and neighbours are steps by nature, "
                    "finer with more of these.",
                )
            ]
    return []


def _ties(rows: NDArray[np.float64]) -> list[Trap]:
    top = np.sort(rows, axis=1)[:, -2:]
    tied = int((top[:, 0] == top[:, 1]).sum())
    if tied < max(1, TIED * len(rows)):
        return []
    return [
        Trap(
            "ties",
            f"for {tied} of {len(rows)} images the two foremost classes have exactly equal scores; of equal ones the "
            "first counts",
            "Give the logits, or more digits.",
        )
    ]


def unmoved_trap(base: Scores, edited: Scores) -> list[Trap]:
    """Whether single pixels change anything: scores ``(K,)`` of an image, ``(N, K)`` of it with a pixel changed."""
    known = edited[np.isfinite(edited).all(axis=1)]
    same = int((known == base).all(axis=1).sum())
    if not len(known) or same < UNMOVED * len(known):
        return []
    return [
        Trap(
            "unmoved",
            f"{same} of {len(known)} changes of a single pixel leave every score exactly as it is",
            "Look for rounding of the scores, for a resize that drops pixels, or for thresholds (as trees have): where "
            "nothing changes, a search is blind.",
        )
    ]


def finite_traps(names: list[str], reasons: dict[int, str]) -> list[Trap]:
    """Of plain images, by name, those that got no usable scores, with the reasons by place."""
    if not reasons:
        return []
    which = ", ".join(names[place] for place in sorted(reasons))
    return [
        Trap(
            "not-finite",
            f"no usable scores for {which} ({next(iter(reasons.values()))})",
            "Look for a division by the spread or the sum of an image; such images count as failed.",
        )
    ]


def apart(first: Scores, second: Scores) -> float:
    """The largest difference of two answers to the same images, relative to the largest score; 0: bit for bit."""
    width = max(first.shape[1], second.shape[1])
    one, other = (np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in (first, second))
    known = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    if not known.any():
        return 0.0
    gap = float(np.abs(one[known].astype(np.float64) - other[known]).max())
    return gap / max(1e-12, float(np.abs(one[known]).max()))


def steadiness_traps(again: float, reordered: float | None, alone: float | None) -> list[Trap]:
    """Traps from what :func:`apart` says of the same pass again, in another order, and of images by themselves."""
    if again > MIXED:
        return [
            Trap(
                "random",
                f"the same pass again gives other scores (by {again:.1g} of their size)",
                "Turn off what draws at random: dropout, noise, random crops. Where it belongs to the model, verdicts "
                "go by several passes (--draws).",
            )
        ]
    traps = []
    if max(reordered or 0.0, alone or 0.0) > MIXED:
        where = "in another order" if (reordered or 0.0) > MIXED else "by itself"
        size = reordered if (reordered or 0.0) > MIXED else alone
        traps.append(
            Trap(
                "mixes-images",
                f"an image {where} gets other scores (by {size:.1g} of their size): they depend on those beside it",
                "Put batch norm into evaluation mode (export it so); --batch-size 1 if the model must be as it is.",
            )
        )
    elif again > 0 or (reordered or 0.0) > 0:
        traps.append(
            Trap(
                "unsteady",
                f"scores are not the same bit for bit (apart by {max(again, reordered or 0.0):.1g} of their size)",
                "A run may take another course when it is repeated; one thread (OMP_NUM_THREADS=1) or --device cpu may "
                "help.",
            )
        )
    return traps
