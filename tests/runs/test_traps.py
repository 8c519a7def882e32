"""Traps that the scores of a few images show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinprick.goals import Scores, softmax
from pinprick.runs.traps import apart, finite_traps, score_traps, steadiness_traps, unmoved_trap


def logits(n: int = 40, classes: int = 10, seed: int = 0, spread: float = 3.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(n, classes)) * spread).astype(np.float32)


def names(scores: Scores, outputs: str) -> list[str]:
    return [trap.name for trap in score_traps(scores, outputs)]


@given(st.integers(2, 50), st.floats(0.1, 5), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_ordinary_scores_show_none(classes: int, spread: float, seed: int) -> None:
    scores = logits(64, classes, seed, spread)
    assert names(scores, "logits") == []
    assert set(names(softmax(scores), "probabilities")) <= {"saturated"}


@given(st.integers(2, 100), st.floats(10, 20), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_second_softmax_is_found_out(classes: int, spread: float, seed: int) -> None:
    twice = softmax(softmax(logits(64, classes, seed, spread))).astype(np.float32)
    assert "softmax-twice" in names(twice, "probabilities")


def test_saturated_probabilities() -> None:
    full = softmax(logits(spread=60)).astype(np.float32)
    assert "saturated" in names(full, "probabilities")
    assert names(softmax(logits()).astype(np.float32), "probabilities") == []


def test_probabilities_that_do_not_sum_to_1() -> None:
    sigmoids = 1 / (1 + np.exp(-logits()))
    traps = score_traps(sigmoids.astype(np.float32), "probabilities")
    assert [trap.name for trap in traps] == ["sums"]
    assert "--outputs logits" in traps[0].advice


def test_the_precision_of_scores() -> None:
    half = logits().astype(np.float16).astype(np.float32)
    assert names(half, "logits") == ["half-precision"]
    brain = (logits().view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert "bfloat16" in score_traps(brain, "logits")[0].found
    rounded = np.round(softmax(logits()), 3)
    assert "rounded" in names(rounded, "probabilities")
    assert "3 decimals" in next(trap for trap in score_traps(rounded, "probabilities") if trap.name == "rounded").found


def test_ties_and_constant_scores() -> None:
    tied = logits()
    tied[:4, 1] = tied[:4, 0] = 20
    assert names(tied, "logits") == ["ties"]
    assert names(np.repeat(logits(1), 40, axis=0), "logits") == ["constant"]


def test_nothing_is_said_of_labels_or_of_failed_images() -> None:
    one_hot = np.eye(10, dtype=np.float32)[np.arange(40) % 10]
    assert names(one_hot, "labels") == []
    assert names(np.full((40, 10), np.nan, np.float32), "logits") == []


def test_changes_that_change_nothing() -> None:
    base = logits(1)[0]
    edited = np.repeat(base[None], 32, axis=0)
    assert "32 of 32" in unmoved_trap(base, edited)[0].found
    edited[:20, 3] += 1e-6
    assert unmoved_trap(base, edited) == []
    assert unmoved_trap(base, np.full((4, 10), np.nan, np.float32)) == []


def test_images_without_scores_are_named() -> None:
    assert finite_traps(["a black image", "a white one"], {}) == []
    trap = finite_traps(["a black image", "a white one"], {1: "NaN"})[0]
    assert (trap.name, trap.found) == ("not-finite", "no usable scores for a white one (NaN)")


@pytest.mark.parametrize(
    ("again", "reordered", "alone", "name"),
    [
        (0.0, 0.0, 1e-6, None),
        (0.2, None, None, "random"),
        (0.0, 0.2, None, "mixes-images"),
        (0.0, 0.0, 0.2, "mixes-images"),
        (0.0, 1e-6, None, "unsteady"),
        (1e-7, 0.0, None, "unsteady"),
        (0.0, None, None, None),
    ],
)
def test_steadiness(again: float, reordered: float | None, alone: float | None, name: str | None) -> None:
    assert [trap.name for trap in steadiness_traps(again, reordered, alone)] == ([name] if name else [])


def test_how_far_answers_are_apart() -> None:
    scores = logits()
    assert apart(scores, scores.copy()) == 0
    moved = scores.copy()
    moved[5, 2] += 1
    assert apart(scores, moved) == pytest.approx(1 / np.abs(scores).max(), rel=1e-4)
    # Labels widen as they come, and failed rows say nothing.
    assert apart(np.array([[0.0, 1.0]], np.float32), np.array([[0.0, 1.0, 0.0]], np.float32)) == 0
    assert apart(np.full((1, 3), np.nan, np.float32), scores[:1, :3]) == 0
