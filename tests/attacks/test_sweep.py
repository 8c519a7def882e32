"""The sweep against brute force on real networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pinprick.attacks.sweep import SweepPixels
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.goals import Goal
from pinprick.outcomes import Outcome
from pinprick.search.colours import corners
from pinprick.targets.base import Target
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.passes import ask
from tests.conftest import colour_target, digits_net, digits_target, random_images

Scores = NDArray[np.float32]


def brute_force(target: Target, image: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Scores:
    """Scores ``(H, W, P, K)`` of every image that differs from ``image`` in one pixel at most, set to a colour."""
    _, height, width = image.shape
    pictures = []
    for row in range(height):
        for column in range(width):
            for colour in palette:
                picture = image.copy()
                picture[:, row, column] = colour
                pictures.append(picture)
    answers = ask(target, np.stack(pictures), 64, fast=True)
    return answers.scores.reshape(height, width, len(palette), -1)


def agrees(outcome: Outcome, scores: Scores, goal: Goal) -> None:
    """Whether an outcome's map is what the scores of every change come to."""
    found, label = outcome.vulnerability, outcome.unit.label
    assert found is not None
    predicted = scores.argmax(axis=3)
    met = predicted == goal.target if goal.kind == "targeted" else predicted != label
    np.testing.assert_array_equal(found.fooled, met.sum(axis=2))
    np.testing.assert_array_equal(found.asked, scores.shape[2])
    wanted = goal.target if goal.target is not None else label
    others = np.delete(scores.astype(float), wanted, axis=3).max(axis=3)
    gap = scores[..., wanted].astype(float) - others
    margin = -gap if goal.kind == "targeted" else gap
    np.testing.assert_array_equal(found.margin, margin.min(axis=2))
    assert outcome.status == ("fooled" if met.any() else "held")
    assert (outcome.first_hit is not None) == bool(met.any())
    assert outcome.asked == met.size + 1
    if met.any():
        # The best of them is handed in.
        assert outcome.edits is not None
        place = (int(outcome.edits.rows[0, 0]), int(outcome.edits.columns[0, 0]))
        assert margin[place].min() == margin.min()


def test_all_values_of_gray_images_are_what_brute_force_finds() -> None:
    target = digits_target()
    images = digits("test").stack(np.array([1, 2, 3]))
    palette = np.arange(256, dtype=np.uint8)[:, None]
    outcomes = SweepPixels(colours="all")(target, images)
    assert {outcome.status for outcome in outcomes} == {"fooled", "held"}
    for outcome, image in zip(outcomes, images, strict=True):
        agrees(outcome, brute_force(target, image, palette), Goal())


@pytest.mark.parametrize("goal", [Goal(), Goal("targeted", 4)])
def test_the_corners_of_colour_images_are_what_brute_force_finds(goal: Goal) -> None:
    target = colour_target()
    images = random_images(6, (3, 9, 12))
    labels = ask(target, images, 64).scores.argmax(axis=1)
    chosen = images[labels != goal.target]
    outcomes = SweepPixels()(target, chosen, goal)
    assert len(outcomes) >= 3
    for outcome, image in zip(outcomes, chosen, strict=True):
        agrees(outcome, brute_force(target, image, corners(3)), goal)


def test_a_constant_model_gives_an_empty_map() -> None:
    constant = CallableTarget(lambda images: torch.tensor([[1.0, 0.0]]).repeat(len(images), 1), "logits", name="c")
    (outcome,) = SweepPixels()(constant, random_images(1, (3, 8, 8)))
    found = outcome.vulnerability
    assert found is not None
    assert found.margin is not None
    assert (outcome.status, outcome.first_hit, outcome.asked) == ("held", None, 8 * 64 + 1)
    assert not found.fooled.any()
    assert set(found.margin.ravel().tolist()) == {1.0}


def test_labels_are_enough_for_the_counts() -> None:
    images = digits("test").stack(np.arange(6))
    net = digits_net()
    labels = CallableTarget(lambda batch: net(batch).argmax(1), "labels", name="labels")
    told = SweepPixels()(digits_target(), images)
    for outcome, plain in zip(SweepPixels()(labels, images), told, strict=True):
        assert outcome.vulnerability is not None
        assert plain.vulnerability is not None
        np.testing.assert_array_equal(outcome.vulnerability.fooled, plain.vulnerability.fooled)
        assert outcome.vulnerability.margin is None
        assert outcome.status == plain.status


def test_unless_it_is_to_be_complete_a_unit_ends_at_its_first_hit() -> None:
    images = digits("test").stack(np.arange(12))
    whole, first = (SweepPixels(complete=complete)(digits_target(), images) for complete in (True, False))
    assert [outcome.first_hit for outcome in whole] == [outcome.first_hit for outcome in first]
    assert [outcome.status for outcome in whole] == [outcome.status for outcome in first]
    ended = [(one.asked, one.first_hit) for one in first if one.first_hit is not None]
    assert ended
    assert all(hit < asked <= hit + 64 + 1 for asked, hit in ended)


@pytest.mark.parametrize("budget", [2, 3, 40, 65, 66, 128, 129, 500])
def test_the_budget_is_never_exceeded_and_the_map_tells_what_was_asked(budget: int) -> None:
    images = digits("test").stack(np.arange(3))
    whole = SweepPixels()(digits_target(), images)
    for outcome, full in zip(SweepPixels()(digits_target(), images, budget=budget), whole, strict=True):
        part, everything = outcome.vulnerability, full.vulnerability
        assert part is not None
        assert everything is not None
        assert part.margin is not None
        assert everything.margin is not None
        assert outcome.asked == min(budget, 129)
        assert part.asked.sum() == outcome.asked - 1
        assert (outcome.first_hit is not None) == bool(part.fooled.any())
        if full.first_hit is not None:
            assert (outcome.status == "fooled") == (full.first_hit <= outcome.asked - 1)
        known = part.asked == 2
        np.testing.assert_array_equal(part.margin[known], everything.margin[known])
        np.testing.assert_array_equal(np.isnan(part.margin), part.asked == 0)


def test_several_pixels_fool_at_least_what_one_does() -> None:
    images = digits("test").stack(np.arange(10))
    one, two = (SweepPixels()(digits_target(), images, pixels=pixels) for pixels in (1, 2))
    assert sum(outcome.status == "fooled" for outcome in two) > sum(outcome.status == "fooled" for outcome in one)
    for single, double in zip(one, two, strict=True):
        assert single.vulnerability is not None
        assert double.vulnerability is not None
        np.testing.assert_array_equal(single.vulnerability.margin, double.vulnerability.margin)
        assert double.changed <= 2
        if single.status == "fooled":
            assert (double.status, double.changed) == ("fooled", 1)


def test_a_unit_that_fails_has_no_map() -> None:
    net = digits_net()

    def touchy(images: torch.Tensor) -> Any:
        scores = net(images)
        return torch.where(images[:, :, 4, 4] > 0.99, torch.nan, scores)

    (outcome,) = SweepPixels()(CallableTarget(touchy, "logits", name="t"), digits("test").stack([0]) // 2)
    assert outcome.status == "failed"
    assert outcome.vulnerability is None


def test_the_budget_covers_every_change_by_default() -> None:
    assert SweepPixels().default_budget((3, 32, 32)) == 8 * 1024 + 1
    assert SweepPixels().default_budget((1, 28, 28), 2) == 2 * 2 * 784 + 1
    assert SweepPixels(colours="all").default_budget((1, 8, 8)) == 256 * 64 + 1
    assert SweepPixels().default_budget() == SweepPixels().default_budget((3, 32, 32))


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(InputError, match=r"16\.8 million a position"):
        SweepPixels(colours="all")(colour_target(), random_images(1, (3, 9, 12)))
    with pytest.raises(InputError, match=r"colours: there is no 'some'\. Known: all, corners"):
        SweepPixels(colours="some")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"complete: 'no'\. Give true or false"):
        SweepPixels(complete="no")  # type: ignore[arg-type]
