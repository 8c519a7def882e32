"""Candidates (what an attack hands in) and outcomes (what was made of them)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.goals import Scores
from pinprick.units import Unit

Status = Literal["fooled", "held", "failed", "skipped"]


LARGEST_MARGIN = 1e300
"""Of a map; beyond, sums of a few of them would be infinite."""


@dataclass(frozen=True)
class VulnerabilityMap:
    """What changes of one pixel do to an image, position by position; each array is ``(H, W)``.

    Parameters
    ----------
    asked : how many colours were asked at the position, 0 where it was left out.
    fooled : how many of these meet the goal.
    margin : the least margin over these, in log odds (:meth:`pinprick.goals.GoalRows.margin`), NaN where none was
        asked; None where the classifier gives labels only.
    """

    asked: NDArray[np.int32]
    fooled: NDArray[np.int32]
    margin: NDArray[np.float64] | None


@dataclass(frozen=True)
class Candidate:
    """What an attack found for one unit.

    Parameters
    ----------
    edits : one candidate's edits, or None where the unit failed.
    scores_after : ``(K,)`` raw scores of the verifying pass over the 8-bit image as saved, or None where it failed.
    asked, answered : questions, and rows that went through the network, the verifying passes included.
    first_hit : how many questions had been asked when the first candidate that meets the goal was, itself included;
        None without one.
    reason : why the unit failed, None where it did not.
    trace : what the attack wishes to tell besides (loss, margin, generation).
    vulnerability : the map of an attack that makes one.
    draws, agree : verifying passes, and how many of them meet the goal where there are several, as of a random target.
    course : of an attack that looks for few pixels, (questions, pixels) each time that an image which meets the goal
        had fewer changed pixels than all before it, by single answers; None of other attacks.
    """

    unit: Unit
    edits: Edits | None
    scores_after: Scores | None
    asked: int
    answered: int
    first_hit: int | None = None
    reason: str | None = None
    trace: dict[str, float] = field(default_factory=dict)
    vulnerability: VulnerabilityMap | None = field(default=None, repr=False)
    course: tuple[tuple[int, int], ...] | None = field(default=None, repr=False)
    draws: int = 1
    agree: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The verdict on one unit, made by :func:`pinprick.verify.verify` and stored as one row of a run's table.

    Parameters
    ----------
    status : ``fooled`` (the saved image meets the goal), ``held``, ``failed`` (see ``reason``) or ``skipped``.
    success_float : whether an unrounded perturbation met the goal; None for edits, which are 8-bit from the start.
    changed : pixels that differ on the integer image, a pixel once over its channels.
    predicted_before, predicted_after : argmax classes.
    confidence_before, confidence_after : probability of these classes, 0 .. 1.
    draws, agree : passes over the saved image that decided, and where there are several how many of them met the goal:
        fooled means more than half. ``scores_after`` are those of the first pass that says what they say together.
    """

    unit: Unit
    status: Status
    edits: Edits | None
    asked: int
    answered: int
    changed: int
    first_hit: int | None
    predicted_before: int
    confidence_before: float
    predicted_after: int | None
    confidence_after: float | None
    scores_after: Scores | None
    reason: str | None = None
    success_float: bool | None = None
    gradients: int = 0
    draws: int = 1
    agree: int | None = None
    detected: bool | None = None
    trace: dict[str, float] = field(default_factory=dict)
    vulnerability: VulnerabilityMap | None = field(default=None, repr=False)
    course: tuple[tuple[int, int], ...] | None = field(default=None, repr=False)
