"""Attacks by labels alone: verdicts within the number of pixels that may change, courses, exact answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinprick.attacks.base import Attack
from pinprick.attacks.registry import ATTACKS, make_attack
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.goals import Goal
from pinprick.metrics.minimum import ATTACKS as SHRINKING
from pinprick.outcomes import Outcome
from pinprick.targets.base import Target
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.outputs import settle
from pinprick.verify import edited_image
from tests.attacks.test_min_pixels import dark, planted
from tests.conftest import digits_target, random_images

BY_LABELS = [name for name in SHRINKING if make_attack(name).threat.knowledge == "labels"]


def labels_only(target: CallableTarget) -> CallableTarget:
    """The same classifier, of which only the foremost class is told."""
    return CallableTarget(lambda images: target.function(images).argmax(1), "labels", classes=target.classes)


def check_course(outcome: Outcome) -> None:
    """Questions rise, pixels fall, and the last number within what may change is that of the outcome."""
    assert outcome.course is not None
    asked, pixels = zip(*outcome.course, strict=True) if outcome.course else ((), ())
    assert list(asked) == sorted(set(asked))
    assert list(pixels) == sorted(set(pixels), reverse=True)
    assert all(number <= outcome.asked for number in asked)
    within = [step for step in outcome.course if step[1] <= outcome.unit.pixels]
    assert (outcome.status == "fooled") == bool(within)
    if within:
        assert (within[0][0], within[-1][1]) == (outcome.first_hit, outcome.changed)


@pytest.mark.parametrize("name", BY_LABELS)
@pytest.mark.parametrize(("shape", "needed"), [((1, 12, 9), 1), ((3, 9, 12), 4), ((1, 10, 14), 6)])
def test_planted_minima_are_found_by_labels(name: str, shape: tuple[int, int, int], needed: int) -> None:
    target = labels_only(planted(shape, (needed,)))
    outcomes = make_attack(name)(target, dark(3, shape), labels=[0] * 3, pixels=20, budget=3000, rows=64)
    for outcome in outcomes:
        assert (outcome.status, outcome.changed) == ("fooled", needed)
        check_course(outcome)


@pytest.mark.parametrize("name", BY_LABELS)
def test_what_takes_more_than_may_change_holds_and_its_course_tells_how_many(name: str) -> None:
    shape = (1, 12, 9)
    target = labels_only(planted(shape, (5,)))
    for outcome in make_attack(name)(target, dark(2, shape), labels=[0, 0], pixels=3, budget=2500, rows=64):
        assert outcome.status == "held"
        assert outcome.changed <= 3
        assert outcome.first_hit is None
        assert outcome.course is not None
        assert outcome.course[-1][1] == 5
        check_course(outcome)


@pytest.mark.parametrize("name", BY_LABELS)
def test_what_is_handed_in_is_within_the_number_of_pixels_however_early_it_ends(name: str) -> None:
    shape = (1, 12, 9)
    for budget in (2, 3, 40, 200):
        target = labels_only(planted(shape, (9,)))
        (outcome,) = make_attack(name)(target, dark(1, shape), labels=[0], pixels=2, budget=budget, rows=64)
        assert outcome.status == "held"
        assert outcome.asked == budget
        assert outcome.edits is not None
        assert int((edited_image(outcome.unit, outcome.edits) != outcome.unit.image).any(axis=0).sum()) <= 2


@pytest.mark.parametrize("name", BY_LABELS)
def test_nothing_below_the_exact_fewest_pixels_of_a_linear_classifier(name: str) -> None:
    """Of a linear classifier the fewest pixels are those whose best change moves the score most, added up."""
    shape = (1, 8, 8)
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=64)).float()
    images = random_images(4, shape)
    bias = 1.5 + float((torch.from_numpy(images).float().flatten(1) / 255 @ weights).max())
    target = CallableTarget(lambda x: (x.flatten(1) @ weights > bias).long(), "labels", classes=2)
    outcomes = make_attack(name)(target, images, labels=[0] * 4, pixels=64, budget=3000, rows=64)
    for image, outcome in zip(images, outcomes, strict=True):
        values = image.reshape(64) / 255
        own = weights.double().numpy()
        gains = np.sort(np.where(own > 0, own * (1 - values), -own * values))[::-1]
        exact = int(np.argmax(values @ own + np.cumsum(gains) > bias)) + 1
        assert outcome.status == "fooled"
        assert exact <= outcome.changed <= 3 * exact + 1


def test_a_pixel_that_fools_by_force_is_no_more_than_one_that_is_found() -> None:
    """Where no single gray value fools, by brute force, none is reported to."""
    target = digits_target()
    images = random_images(3, (1, 8, 8)) // 3
    labels = target.scores(target.images(images)).argmax(axis=1)
    for name in BY_LABELS:
        found = make_attack(name)(target, images, labels=labels, pixels=30, budget=800)
        for image, label, outcome in zip(images, labels.tolist(), found, strict=True):
            every = np.repeat(image.reshape(1, 64), 64 * 256, axis=0)
            every[np.arange(64 * 256), np.repeat(np.arange(64), 256)] = np.tile(np.arange(256), 64)
            forced = (target.scores(target.images(every.reshape(-1, 1, 8, 8))).argmax(axis=1) != label).any()
            assert outcome.status == "fooled"
            assert forced or outcome.changed > 1


def test_targeted_searches_start_from_images_of_the_target_class() -> None:
    shape = (1, 12, 9)

    def score(images: torch.Tensor) -> torch.Tensor:
        # Class 2: ten of the pixels have exactly the gray of the images to start from.
        near = ((images * 255).round() == 77).flatten(1).sum(1)
        return torch.where(near >= 10, 2, 0)

    target = CallableTarget(score, "labels", classes=3)
    images, starts = dark(2, shape), np.full((2, *shape), 77, np.uint8)
    starts[0] = 0
    for name in BY_LABELS:
        attack = make_attack(name)
        outcomes = attack(target, images, Goal("targeted", 2), labels=[0, 0], pixels=10, budget=4000, starts=starts)
        assert {outcome.status for outcome in outcomes} == {"fooled"}
        for outcome in outcomes:
            own = int((outcome.unit.image == 77).sum())
            assert outcome.changed == 10 - own
            check_course(outcome)


def test_which_attacks_look_for_few_pixels_is_told_in_one_place_for_all() -> None:
    assert {name for name in ATTACKS if make_attack(name).shrinks} == set(SHRINKING)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attacks_that_need_scores_refuse_labels_and_name_those_that_do_not(name: str) -> None:
    attack: Attack = make_attack(name)
    target = CallableTarget(lambda x: x.flatten(1).argmax(1), "labels", classes=64)
    if attack.threat.knowledge == "labels":
        attack.check_target(target)
        return
    with pytest.raises(InputError, match="labels only") as caught:
        attack.check_target(target)
    for other in (*BY_LABELS, "sweep", "random"):
        assert other in str(caught.value)


def test_scores_that_are_to_be_labels_tell_the_foremost_class_and_nothing_else() -> None:
    images = random_images(40, (1, 8, 8))
    plain, turned = digits_target(), digits_target()
    turned.outputs = "labels"
    told = settle(turned, images)
    assert told is not None
    assert "labels only" in told
    rows = turned.scores(turned.images(images))
    assert set(np.unique(rows)) == {0.0, 1.0}
    assert rows.argmax(axis=1).tolist() == plain.scores(plain.images(images)).argmax(axis=1).tolist()
    assert turned.editing((1, 8, 8)) is None


def test_our_own_needs_fewer_pixels_than_the_published_search_and_hardly_more_than_one_that_reads_scores() -> None:
    scores, stack = digits_target(), digits("test").stack(range(16))
    told = scores.scores(scores.images(stack)).argmax(axis=1)
    by_labels = CallableTarget(lambda images: scores.raw(images).argmax(1), "labels", classes=10)

    def fewest(name: str, target: Target, budget: int | None = None) -> list[int]:
        found = make_attack(name)(target, stack, labels=told, pixels=30, budget=budget)
        return [outcome.changed for outcome in found]

    own, published = (fewest(name, by_labels, budget=600) for name in ("hard-label", "sparse-evo"))
    assert all(one <= other for one, other in zip(own, published, strict=True))
    assert sum(own) < 0.8 * sum(published)
    assert sum(own) <= 1.15 * sum(fewest("min-pixels", scores))
