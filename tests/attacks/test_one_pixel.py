"""The one pixel attack on a small trained net, held against brute force."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from pinprick.attacks.base import Attack
from pinprick.attacks.one_pixel import OnePixel
from pinprick.attacks.random_pixels import RandomPixels
from pinprick.attacks.registry import make_attack
from pinprick.data.image_set import ImageSet
from pinprick.edits import Edits
from pinprick.errors import InputError, UnknownNameError
from pinprick.goals import Goal
from pinprick.outcomes import Candidate, Outcome
from pinprick.targets.meter import Meter
from pinprick.targets.torch_target import TorchTarget
from pinprick.units import Unit
from pinprick.verify import edited_image, verify
from tests.conftest import make_unit

ROWS = 64


def right_units(
    target: TorchTarget, images: ImageSet, n: int, *, goal: Goal | None = None, pixels: int = 1
) -> list[Unit]:
    units = []
    assert images.labels is not None
    for index in range(len(images)):
        unit = make_unit(target, images.image(index), name=images.names[index], goal=goal, pixels=pixels)
        if unit.label == images.labels[index] and (goal is None or goal.target != unit.label):
            units.append(unit)
        if len(units) == n:
            break
    return units


def outcomes(attack: Attack, target: TorchTarget, units: list[Unit], budget: int | None = None) -> list[Outcome]:
    meter = Meter(target, budget or attack.default_budget(), ROWS)
    found: Iterator[Candidate] = attack.run(meter, iter(units))
    made = [verify(candidate, target.probabilities) for candidate in found]
    return sorted(made, key=lambda outcome: [unit.key for unit in units].index(outcome.unit.key))


def brute_force(target: TorchTarget, unit: Unit) -> tuple[bool, float]:
    """Whether any of the 64 x 256 one-pixel changes of a gray image fools the net, and the least f_y there is."""
    places = np.repeat(np.arange(64), 256)
    edits = Edits(
        (places // 8).astype(np.int32)[:, None],
        (places % 8).astype(np.int32)[:, None],
        np.tile(np.arange(256), 64).astype(np.uint8)[:, None, None],
    )
    bases = np.broadcast_to(unit.image, (len(places), *unit.image.shape))
    scores = target.scores(target.images(edits.apply(np.ascontiguousarray(bases))))
    return bool((scores.argmax(1) != unit.label).any()), float(target.probabilities(scores)[:, unit.label].min())


def test_it_never_claims_more_than_there_is_and_finds_nearly_all_of_it(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    """Exact on gray 8 x 8 images: 16 384 candidates hold every one-pixel image there is."""
    units = right_units(target, test_digits, 20)
    found = outcomes(OnePixel(), target, units)
    truth = [brute_force(target, unit)[0] for unit in units]
    fooled = [outcome.status == "fooled" for outcome in found]
    assert 3 <= sum(truth) <= 17, "the net should be neither trivial nor immune"
    assert not any(claim and not possible for claim, possible in zip(fooled, truth, strict=True))
    assert sum(fooled) >= sum(truth) - 1


def test_under_the_papers_stop_rule_it_comes_close_to_the_least_probability(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    units = right_units(target, test_digits, 4)
    for outcome in outcomes(OnePixel(stop="paper"), target, units):
        assert outcome.scores_after is not None
        reached = target.probabilities(outcome.scores_after[None])[0, outcome.unit.label]
        _, least = brute_force(target, outcome.unit)
        assert reached >= least - 1e-6
        assert reached < max(0.05, least + 0.05)


@pytest.mark.parametrize("pixels", [1, 3])
@pytest.mark.parametrize("name", ["one-pixel", "random"])
def test_every_success_is_real_on_the_8_bit_image(
    name: str, pixels: int, target: TorchTarget, test_digits: ImageSet
) -> None:
    units = right_units(target, test_digits, 15, pixels=pixels)
    found = outcomes(make_attack(name), target, units, budget=2000)
    assert any(outcome.status == "fooled" for outcome in found)
    for outcome in found:
        assert outcome.edits is not None
        image = edited_image(outcome.unit, outcome.edits)
        assert int((image != outcome.unit.image).any(axis=0).sum()) == outcome.changed <= pixels
        again = target.scores(target.images(np.repeat(image[None], ROWS, axis=0)))[0]
        assert (again.argmax() != outcome.unit.label) == (outcome.status == "fooled")
        assert outcome.asked <= 2000
        assert outcome.answered <= outcome.asked
        if outcome.status == "fooled":
            assert outcome.first_hit is not None
            assert outcome.first_hit < outcome.asked <= outcome.first_hit + 64


def test_more_pixels_fool_more_and_a_held_unit_costs_its_whole_budget(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    rates = []
    for pixels in (1, 5):
        found = outcomes(OnePixel(), target, right_units(target, test_digits, 15, pixels=pixels), budget=2001)
        rates.append(sum(outcome.status == "fooled" for outcome in found))
        assert all(outcome.asked == 2001 for outcome in found if outcome.status == "held")
    assert rates[0] < rates[1]


def test_targeted_success_is_the_target_and_nothing_else(target: TorchTarget, test_digits: ImageSet) -> None:
    units = right_units(target, test_digits, 20, goal=Goal("targeted", 8), pixels=3)
    found = outcomes(OnePixel(), target, units, budget=1601)
    assert any(outcome.status == "fooled" for outcome in found)
    for outcome in found:
        assert (outcome.predicted_after == 8) == (outcome.status == "fooled")


def test_the_papers_stop_rule_goes_past_the_first_hit(target: TorchTarget, test_digits: ImageSet) -> None:
    units = right_units(target, test_digits, 8, pixels=5)
    first = outcomes(OnePixel(), target, units)
    paper = outcomes(OnePixel(stop="paper"), target, units)
    both = [(a, b) for a, b in zip(first, paper, strict=True) if a.status == b.status == "fooled"]
    assert both
    # Same seeds, so the same course: the first hit is the same candidate, and going on makes the net surer.
    assert all(a.first_hit == b.first_hit for a, b in both)
    assert all(a.asked <= b.asked for a, b in both)
    sure = [[float(o.confidence_after or 0) for o in pair] for pair in both]
    assert np.mean(sure, axis=0)[0] < np.mean(sure, axis=0)[1]
    stopped = [b for _, b in both if b.asked < OnePixel().default_budget()]
    assert stopped
    assert all((b.asked - 1) % 400 == 0 for b in stopped), "the paper looks between generations"
    for b in stopped:
        assert b.scores_after is not None
        assert target.probabilities(b.scores_after[None])[0, b.unit.label] < 0.05


def test_a_hit_that_does_not_hold_up_is_charged_and_the_search_goes_on(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    """The fast way lies about each candidate; the target itself says what is true."""
    unit = right_units(target, test_digits, 1)[0]
    honest = target.raw
    flips = np.zeros(10, np.float32)
    flips[(unit.label + 1) % 10] = 1e6
    target.fast = lambda images: honest(images) + target.images(np.zeros(1, np.uint8)).new_tensor(flips)  # type: ignore[method-assign]
    (outcome,) = outcomes(OnePixel(), target, [unit], budget=402)
    assert outcome.status == "held"
    assert outcome.asked == 402
    assert outcome.trace["unconfirmed_hits"] >= 1


def test_an_attack_can_be_called_on_arrays_and_answers_as_a_run_does(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    attack = OnePixel()
    images = test_digits.stack(range(6))
    goals = [Goal(), Goal("targeted", 8), Goal(), Goal(), Goal("reduce", bound=0.5), Goal()]
    found = attack(target, images, goals, seed=3, pixels=3, budget=900)
    assert [outcome.unit.image_name for outcome in found] == list("012345")
    assert {outcome.status for outcome in found} <= {"fooled", "held"}
    alone = attack(target, images[4:5], goals[4], seed=3, pixels=3, budget=900)[0]
    assert (alone.asked, alone.status, alone.first_hit) == (found[4].asked, found[4].status, found[4].first_hit)
    with pytest.raises(InputError, match="own class"):
        attack(target, images[:1], Goal("targeted", 1), labels=[1])
    with pytest.raises(InputError, match="401 or more"):
        attack(target, images[:1], budget=400)


def test_random_search_uses_its_whole_budget_and_any_budget_from_two(
    target: TorchTarget, test_digits: ImageSet
) -> None:
    units = right_units(target, test_digits, 10)
    for budget in (2, 3, 65, 66, 130):
        for outcome in outcomes(RandomPixels(), target, units, budget=budget):
            assert outcome.asked <= budget
            assert outcome.status == "fooled" or outcome.asked == budget


def test_attacks_that_need_scores_refuse_labels_and_name_one_that_does_not(target: TorchTarget) -> None:
    target.outputs = "labels"
    with pytest.raises(InputError, match="random"):
        OnePixel().check_target(target)
    RandomPixels().check_target(target)


def test_unknown_names_come_with_suggestions() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean one-pixel"):
        make_attack("one-pixle")
    with pytest.raises(UnknownNameError, match="first-hit"):
        make_attack("one-pixel", stop="first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="4 or more"):
        OnePixel(population=3)
