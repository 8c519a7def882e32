"""Targets that give labels only, with and without a stated number of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinprick.attacks.random_pixels import RandomPixels
from pinprick.errors import InputError, OutputsError, TargetError
from pinprick.goals import Goal
from pinprick.outcomes import Outcome
from pinprick.streams import unit_seed
from pinprick.targets.base import MOST_LABELS
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.meter import Meter
from pinprick.targets.outputs import settle
from pinprick.targets.passes import ask, widened
from pinprick.units import Unit
from pinprick.verify import verify
from tests.conftest import random_images
from tests.targets.test_meter import some_edits


def brightest(images: torch.Tensor) -> torch.Tensor:
    """The place of the brightest of 64 pixels: a classifier of 64 classes that one pixel changes."""
    return images.flatten(1).argmax(1)


def labels_of(values: Any, **how: Any) -> CallableTarget:
    """A target that answers ``values`` whatever it is asked."""
    return CallableTarget(lambda _: values, "labels", **how)


def batch(n: int) -> torch.Tensor:
    return torch.zeros(n, 1, 8, 8)


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([2, 0, 1]),
        torch.tensor([[2], [0], [1]]),
        torch.tensor([2.0, 0.0, 1.0]),
        torch.tensor([[2.0], [0.0], [1.0]], dtype=torch.bfloat16),
        np.array([2, 0, 1], np.uint8),
        [2, 0, 1],
    ],
)
def test_whole_numbers_are_labels_in_every_usual_form(values: Any) -> None:
    assert labels_of(values, classes=3).scores(batch(3)).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert labels_of(torch.tensor([True, False]), classes=2).scores(batch(2)).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([0.5, 1.0, 2.0]), "0.5"),
        (torch.tensor([float("nan"), 1.0, 2.0]), "nan"),
        (torch.tensor([float("inf"), 1.0, 2.0]), "inf"),
        (torch.tensor([[0, 1, 2]]), r"shape \(1, 3\)"),
        (torch.eye(3), r"shape \(3, 3\)"),
        (torch.tensor(1), r"shape \(\)"),
        (torch.tensor([0, -1, 2]), "-1"),
        (torch.tensor([0, 3, 2]), "3.*0 to 2"),
        (np.array(["cat", "dog", "cow"]), "<U3"),
    ],
)
def test_answers_that_are_no_labels_are_told_apart(values: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        labels_of(values, classes=3).scores(batch(3))


def test_a_label_that_no_one_row_a_class_could_hold_is_refused() -> None:
    with pytest.raises(TargetError, match=f"0 to {MOST_LABELS - 1}"):
        labels_of(torch.tensor([0, 10**12])).scores(batch(2))


@pytest.mark.parametrize("values", [torch.tensor([2.0] * 32), torch.tensor([[2.0]] * 32)])
def test_floats_one_an_image_are_not_taken_for_labels_unless_they_are_said_to_be(values: torch.Tensor) -> None:
    with pytest.raises(OutputsError, match="--outputs labels"):
        settle(CallableTarget(lambda _: values), random_images(32, (1, 8, 8)))
    target = labels_of(values)
    settle(target, random_images(32, (1, 8, 8)))
    assert target.scores(batch(32)).shape == (32, 3)


def test_rows_are_as_wide_as_the_labels_need_until_the_classes_are_known() -> None:
    target = CallableTarget(brightest, "labels")
    images = np.zeros((3, 1, 8, 8), np.uint8)
    images.reshape(3, 64)[range(3), [1, 40, 3]] = 255
    assert target.grows
    assert ask(target, images[:1], 2).scores.shape == (1, 2)
    answers = ask(target, images, 1)
    assert answers.scores.argmax(axis=1).tolist() == [1, 40, 3]
    assert answers.scores.shape == (3, 41)
    assert (answers.scores.sum(axis=1) == 1).all()
    assert target.classes is None, "41 is how many were seen, and not how many there are"
    target.assume_classes(10)
    assert ask(target, images[:1], 2).scores.shape == (1, 10)
    assert [len(target.own_row(row)) for row in ask(target, images, 3).scores] == [10, 41, 10]
    target.assume_classes(3)
    assert [len(target.own_row(row)) for row in ask(target, images, 3).scores] == [3, 41, 4]


def test_a_guess_changes_nothing_where_the_classes_are_known() -> None:
    for target in (CallableTarget(brightest, "labels", classes=64), CallableTarget(lambda x: x.flatten(1), "logits")):
        target.assume_classes(100)
        scores = ask(target, random_images(2, (1, 8, 8)), 2).scores
        assert scores.shape == (2, 64)
        assert len(target.own_row(scores[0])) == 64
        assert not target.grows


def test_a_guess_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(InputError, match="classes"):
        CallableTarget(brightest, "labels").assume_classes(MOST_LABELS + 1)


def test_a_guilty_row_among_labels_has_a_reason_and_no_label() -> None:
    def touchy(images: torch.Tensor) -> torch.Tensor:
        if (images[:, 0, 0, 0] == 1).any():
            raise ValueError("white corner")
        return brightest(images)

    images = np.zeros((5, 1, 8, 8), np.uint8)
    images.reshape(5, 64)[range(5), [0, 9, 2, 30, 4]] = 255
    for rows in (1, 2, 8):
        answers = ask(CallableTarget(touchy, "labels"), images, rows, pad=images[1])
        assert sorted(answers.reasons) == [0]
        assert np.isnan(answers.scores[0]).all()
        assert answers.scores[1:].argmax(axis=1).tolist() == [9, 2, 30, 4]
    alone = ask(CallableTarget(touchy, "labels"), images[:1], 4)
    assert np.isnan(alone.scores).all()
    assert alone.scores.shape == (1, 2)


def test_remembered_rows_of_another_width_come_back_as_they_were() -> None:
    """Each call shows labels that the ones before did not; the old rows are remembered in their old width."""
    target = CallableTarget(brightest, "labels")
    image = np.full((1, 8, 8), 100, np.uint8)
    image[0, 0, 0] = 101
    unit = Unit(image, "i", "0", 0, Goal(), "random", 1, "0", np.array([1, 0], np.float32))
    meters = [Meter(target, 1000, 8, cache=cache) for cache in (True, False)]
    for meter in meters:
        meter.open(unit)
    rng = np.random.default_rng(0)
    widths = set()
    for turn in range(12):
        edits = some_edits(int(rng.integers(1, 20)), turn % 5, d=1)
        edits.rows[:] = np.minimum(edits.rows, turn)
        handles = np.zeros(len(edits), np.int64)
        with_memory, without = (meter.score(edits, handles) for meter in meters)
        width = max(with_memory.shape[1], without.shape[1])
        widths.add(width)
        assert np.array_equal(widened(with_memory, width), widened(without, width))
    assert len(widths) > 3
    assert meters[0].close(0)[1] < meters[1].close(0)[1], "some came from memory"


def units(n: int, target: CallableTarget, goals: list[Goal]) -> list[Unit]:
    """Images whose brightest pixels are far apart, some of them easily outshone."""
    made = []
    for number in range(n):
        image = np.full((1, 8, 8), 20, np.uint8)
        label = number * 7 % 64
        image.reshape(64)[label] = (60, 250, 130)[number % 3]
        goal = goals[number % len(goals)]
        goal = Goal() if goal.target == label else goal
        scores = target.own_row(ask(target, image[None], 8).scores[0])
        seed = unit_seed(0, f"{number:02x}", label, str(goal), "random", {}, 1)
        made.append(Unit(image, str(number), f"{number:02x}", label, goal, "random", 1, seed, scores))
    return made


def verdicts(target: CallableTarget, chosen: list[Unit]) -> dict[str, tuple[Any, ...]]:
    def told(outcome: Outcome) -> tuple[Any, ...]:
        after: NDArray[Any] | None = outcome.scores_after
        return (
            outcome.status,
            outcome.asked,
            outcome.answered,
            outcome.predicted_after,
            outcome.unit.scores.tolist(),
            None if after is None else after.tolist(),
            outcome.reason,
        )

    meter = Meter(target, 30, 8)
    found = (verify(candidate, target.probabilities) for candidate in RandomPixels().run(meter, iter(chosen)))
    return {outcome.unit.image_name: told(outcome) for outcome in found}


@pytest.mark.parametrize("guess", [2, 20, 64])
def test_no_outcome_depends_on_when_a_label_was_first_seen(guess: int) -> None:
    target = CallableTarget(brightest, "labels")
    target.assume_classes(guess)
    all_units = units(9, target, [Goal(), Goal("targeted", 50), Goal("reduce", bound=0.5)])
    whole = verdicts(target, all_units)
    assert {told[0] for told in whole.values()} == {"fooled", "held"}
    assert {len(told[5]) for told in whole.values()} == {max(guess, 1 + told[3]) for told in whole.values()}

    @given(st.permutations(range(9)), st.integers(1, 9))
    @settings(max_examples=8, deadline=None)
    def check(order: list[int], cut: int) -> None:
        fresh = CallableTarget(brightest, "labels")
        fresh.assume_classes(guess)
        mixed = [all_units[number] for number in order]
        assert verdicts(fresh, mixed[:cut]) | verdicts(fresh, mixed[cut:]) == whole

    check()


def test_verdicts_are_those_of_a_target_whose_classes_are_known() -> None:
    known = CallableTarget(brightest, "labels", classes=64)
    open_ended = CallableTarget(brightest, "labels")
    goals = [Goal(), Goal("targeted", 50), Goal("reduce", bound=0.5)]
    narrow, wide = (verdicts(target, units(9, target, goals)) for target in (open_ended, known))
    assert {name: told[:4] for name, told in narrow.items()} == {name: told[:4] for name, told in wide.items()}
