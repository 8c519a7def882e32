"""The one place where success is decided: by the scores of a fresh pass over the 8-bit image that is saved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.goals import GoalRows, Scores
from pinprick.outcomes import Candidate, Outcome, Status
from pinprick.units import Unit

Probabilities = Callable[[Scores], NDArray[np.float64]]


def edited_image(unit: Unit, edits: Edits) -> NDArray[np.uint8]:
    """The unit's image ``(C, H, W)`` uint8 with the first candidate of ``edits`` in it."""
    image: NDArray[np.uint8] = edits.take(slice(0, 1)).apply(unit.image[None])[0]
    return image


def goal_met(unit: Unit, scores: Scores, probabilities: Probabilities) -> bool:
    """Whether scores ``(K,)`` meet the unit's goal."""
    rows = GoalRows.of([unit.goal], [unit.label])
    return bool(rows.met(scores[None], probabilities(scores[None]))[0])


def decided(unit: Unit, rows: Scores, probabilities: Probabilities) -> tuple[Scores, int]:
    """What the scores ``(D, K)`` of D passes over one image say together, and how many of them meet the unit's goal.

    The goal counts as met where more than half of the passes meet it. The scores that stand for all of them, ``(K,)``,
    are those of the first pass that says what they say together.
    """
    goals = GoalRows.of([unit.goal] * len(rows), [unit.label] * len(rows))
    met = goals.met(rows, probabilities(rows))
    agree = int(met.sum())
    return rows[int(np.argmax(met == (2 * agree > len(rows))))], agree


def _only_after(candidate: Candidate, probabilities: Probabilities) -> bool:
    """Whether a candidate's scores meet its goal, and those of the unchanged image do not."""
    unit = candidate.unit
    assert candidate.scores_after is not None
    return goal_met(unit, candidate.scores_after, probabilities) and not goal_met(unit, unit.scores, probabilities)


def verify(candidate: Candidate, probabilities: Probabilities) -> Outcome:
    """The verdict on a candidate, from the scores of its verifying pass.

    ``probabilities`` turns raw scores ``(N, K)`` into probabilities. A candidate of more pixels than its unit allows
    is a mistake of the attack and fails with that reason; so does a success without any changed pixel, which a random
    classifier may give.
    """
    unit = candidate.unit
    before = probabilities(unit.scores[None])[0]
    predicted_before = int(np.argmax(unit.scores))
    status: Status = "failed"
    reason, changed = candidate.reason, 0
    predicted_after: int | None = None
    confidence_after: float | None = None
    if candidate.edits is not None and candidate.scores_after is not None and reason is None:
        changed = int(candidate.edits.take(slice(0, 1)).changed(unit.image[None])[0])
        if changed > unit.pixels:
            reason = f"the attack changed {changed} pixels where {unit.pixels} are allowed"
        elif not np.isfinite(candidate.scores_after).all():
            reason = "the scores of the verifying pass are not finite"
        elif candidate.draws > 1 and (2 * (candidate.agree or 0) > candidate.draws) != goal_met(
            unit, candidate.scores_after, probabilities
        ):
            reason = f"the attack counted {candidate.agree} of {candidate.draws} passes, and its scores say otherwise"
        elif not changed and _only_after(candidate, probabilities):
            reason = "the classifier answers otherwise for the same image: no pixel of it was changed"
        else:
            status = "fooled" if goal_met(unit, candidate.scores_after, probabilities) else "held"
            predicted_after = int(np.argmax(candidate.scores_after))
            confidence_after = float(probabilities(candidate.scores_after[None])[0, predicted_after])
    elif reason is None:
        reason = "the attack returned no candidate"
    return Outcome(
        unit=unit,
        status=status,
        edits=candidate.edits,
        asked=candidate.asked,
        answered=candidate.answered,
        changed=changed,
        first_hit=candidate.first_hit,
        predicted_before=predicted_before,
        confidence_before=float(before[predicted_before]),
        predicted_after=predicted_after,
        confidence_after=confidence_after,
        scores_after=candidate.scores_after,
        reason=reason,
        draws=candidate.draws,
        agree=candidate.agree if candidate.draws > 1 and status in ("fooled", "held") else None,
        trace=candidate.trace,
        # Of a unit without a verdict nothing is shown.
        vulnerability=None if status == "failed" else candidate.vulnerability,
        course=None if status == "failed" else candidate.course,
    )
