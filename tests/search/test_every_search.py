"""What holds of every attack that searches: company and order are nothing to it, and it keeps to budget and image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pinprick.attacks.base import Attack
from pinprick.attacks.one_pixel import OnePixel
from pinprick.attacks.registry import ATTACKS, make_attack
from pinprick.data.digits import digits
from pinprick.edits import Edits
from pinprick.goals import Goal, Scores
from pinprick.runs.table import outcome_row
from pinprick.targets.base import Target
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.meter import Meter
from pinprick.units import Unit
from pinprick.verify import verify
from tests.conftest import digits_target, make_unit, random_images

ROWS = 64
SHAPES = [(1, 8, 8), (3, 9, 12), (1, 13, 8)]
DRAWS_PIXELS_APART = {"one-pixel", "random", "cma-es"}
"""Of these a candidate's pixels are drawn one by one, at first at least, and may fall on one position."""
STRAYS = {name for name in ATTACKS if make_attack(name).strays}
"""These ask candidates of more pixels than may change."""
DRAWS_ANEW = {"random"}
"""Random search makes new draws at each ask, so what follows depends on where the last ask ended."""


def attack_called(name: str) -> Attack:
    """The attack as it is under a budget, and small enough for those below."""
    return (OnePixel(population=20) if name == "one-pixel" else make_attack(name)).within(100)


class Noted(Meter):
    """Notes what is asked, and allows so many questions at a time."""

    def __init__(self, target: Target, budget: int, at_a_time: int = 2**31) -> None:
        super().__init__(target, budget, ROWS)
        self.at_a_time = at_a_time
        self.asked: dict[str, list[Edits]] = {}
        self.most = 0

    def left(self, handle: int) -> int:
        return min(self.at_a_time, super().left(handle))

    def score(self, edits: Edits, handles: NDArray[np.int64]) -> Scores:
        for handle in np.unique(handles).tolist():
            own = edits.take(handles == handle)
            self.asked.setdefault(self._accounts[handle].unit.image_name, []).append(own)
            self.most = max(self.most, len(own))
        return super().score(edits, handles)


def run(attack: Attack, meter: Meter, units: Sequence[Unit]) -> dict[str, dict[str, object]]:
    """The rows of the units' outcomes, by image."""
    found = [verify(candidate, meter.target.probabilities) for candidate in attack.run(meter, iter(units))]
    rows = {outcome.unit.image_name: outcome_row(outcome) for outcome in found}
    # As text, in which arrays can be compared and NaN equals NaN.
    return {
        image: {key: repr(value.tolist()) if isinstance(value, np.ndarray) else value for key, value in row.items()}
        for image, row in rows.items()
    }


def out_of_reach(shape: tuple[int, int, int]) -> Target:
    """Scores that differ from image to image, and a first class that is in front all the same."""
    draws = np.random.default_rng(0)
    weights = torch.from_numpy(draws.normal(size=(int(np.prod(shape)), 5))).float()
    ahead = torch.tensor([3.0, 0, 0, 0, 0])
    return CallableTarget(lambda images: torch.tanh(images.flatten(1) @ weights) + ahead, "logits", classes=5)


def hopeless(shape: tuple[int, int, int], n: int, pixels: int) -> tuple[Target, list[Unit]]:
    target = out_of_reach(shape)
    units = []
    for number, image in enumerate(random_images(n, shape)):
        scores = target.scores(target.images(image[None]))[0]
        units.append(Unit(image, str(number), str(number), 0, Goal(), "any", pixels, f"{number:032x}", scores))
    return target, units


@pytest.fixture(scope="module")
def digit_units() -> list[Unit]:
    """Nine units of digits with goals of all kinds, some of which two pixels reach in 100 questions."""
    images, target = digits("test").stack(range(9)), digits_target()
    units = []
    for number, image in enumerate(images):
        plain = make_unit(target, image)
        goal = [Goal(), Goal("targeted", (plain.label + 1) % 10), Goal("reduce", bound=0.6)][number % 3]
        units.append(make_unit(target, image, name=str(number), goal=goal, pixels=2))
    return units


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_order_company_and_number_of_places_change_no_outcome(
    name: str, digit_units: list[Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, target = attack_called(name), digits_target()

    def rows(*parts: list[Unit]) -> dict[str, dict[str, object]]:
        return {key: row for part in parts for key, row in run(attack, Meter(target, 100, ROWS), part).items()}

    whole = rows(digit_units)
    assert len(whole) == 9
    assert "failed" not in {row["status"] for row in whole.values()}
    assert rows(digit_units[::-1]) == whole
    assert rows(digit_units[:4], digit_units[4:]) == whole
    for places in (1, 3):
        monkeypatch.setattr("pinprick.attacks.search_loop.places_for", lambda rows, at_a_time, n=places: n)
        assert rows([digit_units[number] for number in (3, 1, 4, 0, 5, 8, 2, 6, 7)]) == whole


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_global_random_state_is_neither_read_nor_changed(name: str, digit_units: list[Unit]) -> None:
    rows = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 (on purpose)
        before = np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
        rows.append(run(attack_called(name), Meter(digits_target(), 60, ROWS), digit_units[:4]))
        assert np.random.get_state()[1].tolist() == before  # type: ignore[index] # noqa: NPY002
    assert rows[0] == rows[1]


@pytest.mark.parametrize("pixels", [1, 3])
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_budget_is_spent_to_the_last_question_and_never_exceeded(name: str, pixels: int) -> None:
    target, units = hopeless((3, 9, 12), 2, pixels)
    for budget in (22, 65, 130):
        meter = Noted(target, budget)
        rows = run(attack_called(name), meter, units)
        assert [row["asked"] for row in rows.values()] == [budget, budget]
        assert {row["status"] for row in rows.values()} == {"held"}
        assert [sum(len(part) for part in parts) for parts in meter.asked.values()] == [budget - 1, budget - 1]


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_constant_model_is_never_fooled_and_the_search_ends(name: str) -> None:
    target = CallableTarget(lambda images: torch.ones(len(images), 3) * torch.tensor([1.0, 0, 0]), "logits", classes=3)
    images = random_images(2, (1, 8, 8))
    for pixels in (1, 2):
        outcomes = attack_called(name)(target, images, labels=[0, 0], pixels=pixels, budget=300, rows=ROWS)
        assert [outcome.status for outcome in outcomes] == ["held", "held"]
        assert all(0 < outcome.asked <= 300 for outcome in outcomes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_candidates_lie_in_the_image_and_have_8_bit_colours(name: str, shape: tuple[int, int, int]) -> None:
    for pixels in (1, 3):
        target, units = hopeless(shape, 1, pixels)
        meter = Noted(target, 120)
        run(attack_called(name), meter, units)
        every = Edits.join(meter.asked["0"])
        assert name in STRAYS or every.pixels == pixels
        assert every.colours.dtype == np.uint8
        assert every.colours.shape[2] == shape[0]
        assert every.rows.min() >= 0
        assert every.columns.min() >= 0
        assert every.rows.max() < shape[1]
        assert every.columns.max() < shape[2]
        # The whole image is within reach, the far edges too.
        assert every.rows.max() >= shape[1] // 2
        assert every.columns.max() >= shape[2] // 2
        if name not in DRAWS_PIXELS_APART:
            # An entry may be there twice, where fewer than d pixels are meant, but never in two colours.
            where = every.rows * shape[2] + every.columns
            count = np.full(len(every), pixels) if every.count is None else every.count
            for entry in range(pixels):
                for other in range(entry):
                    same = (where[:, entry] == where[:, other]) & (entry < count)
                    assert (every.colours[same, entry] == every.colours[same, other]).all()


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_one_question_at_a_time_gives_the_same_questions(name: str) -> None:
    target, units = hopeless((3, 9, 12), 2, 2)
    freely, one_by_one = Noted(target, 75), Noted(target, 75, at_a_time=1)
    attack = attack_called(name)
    run(attack, freely, units)
    run(attack, one_by_one, units)
    assert one_by_one.most == 1
    for unit in units:
        many, single = (Edits.join(meter.asked[unit.image_name]) for meter in (freely, one_by_one))
        assert len(many) == len(single) == 74
        if name not in DRAWS_ANEW:
            bases = np.repeat(unit.image[None], 74, axis=0)
            assert many.keys(bases) == single.keys(bases)
