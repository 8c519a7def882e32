"""The verdict."""

from __future__ import annotations

import numpy as np
import pytest

from pinprick.edits import Edits
from pinprick.goals import Goal, softmax
from pinprick.outcomes import Candidate, Outcome
from pinprick.units import Unit
from pinprick.verify import verify


def unit(goal: Goal | None = None) -> Unit:
    image = np.zeros((1, 8, 8), np.uint8)
    scores = np.array([3, 1, 0], np.float32)
    return Unit(image, "a", "00", 0, goal or Goal(), "one-pixel", 1, "00", scores)


def one_edit(n: int = 1) -> Edits:
    return Edits(np.arange(n, dtype=np.int32)[None], np.zeros((1, n), np.int32), np.full((1, n, 1), 7, np.uint8))


def verdict(after: list[float], *, edits: Edits | None = None, goal: Goal | None = None) -> Outcome:
    found = Candidate(unit(goal), edits or one_edit(), np.array(after, np.float32), asked=9, answered=8, first_hit=7)
    return verify(found, softmax)


def test_fooled_and_held_are_decided_by_the_scores_of_the_verifying_pass() -> None:
    fooled = verdict([0, 2, 1])
    assert (fooled.status, fooled.predicted_after, fooled.changed) == ("fooled", 1, 1)
    assert fooled.confidence_after == pytest.approx(softmax(np.array([0.0, 2, 1]))[1])
    assert verdict([2, 1, 1]).status == "held"
    assert verdict([0, 2, 1], goal=Goal("targeted", 2)).status == "held"


def test_scores_that_are_not_finite_fail_the_unit() -> None:
    outcome = verdict([0, float("nan"), 1])
    assert outcome.status == "failed"
    assert "finite" in (outcome.reason or "")


def test_an_attack_that_changes_too_many_pixels_has_not_succeeded() -> None:
    outcome = verdict([0, 2, 1], edits=one_edit(2))
    assert outcome.status == "failed"
    assert "2 pixels where 1" in (outcome.reason or "")


def test_a_failed_candidate_keeps_its_reason_and_its_count() -> None:
    outcome = verify(Candidate(unit(), None, None, asked=3, answered=2, reason="ValueError: bad"), softmax)
    assert (outcome.status, outcome.reason, outcome.asked) == ("failed", "ValueError: bad", 3)


def test_a_verdict_is_not_cut_to_single_precision() -> None:
    after = np.array([1e9, 1e9 + 1e-6, 0])
    found = Candidate(unit(), one_edit(), after, asked=9, answered=8)
    assert verify(found, softmax).predicted_after == 1
    assert verify(found, softmax).status == "fooled"
