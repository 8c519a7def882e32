"""Scoring candidates from what was computed of their base images: same verdicts, same bits in any company."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from pinprick.attacks.registry import make_attack
from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.goals import Goal
from pinprick.models.preprocessing import Preprocess
from pinprick.runs.store import outcome_row
from pinprick.targets.editing import Editing
from pinprick.targets.meter import Meter
from pinprick.targets.torch_target import TorchTarget
from pinprick.units import Unit
from pinprick.verify import verify
from tests.conftest import make_unit, random_images

SHAPE = (3, 24, 20)


def wide_net() -> nn.Module:
    """A net whose first layers a pixel reaches little of, with weights that make it easy to fool."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 48, 3, padding=1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(48, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 6),
    ).eval()


def target() -> TorchTarget:
    return TorchTarget(wide_net(), "logits", preprocess=Preprocess((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)), classes=6)


def editing(of: TorchTarget, pixels: int) -> Editing:
    found = of.editing(SHAPE)
    assert found is not None
    assert found.choose(pixels, "incremental", random_images(2, SHAPE)).incremental
    return found


def units(of: TorchTarget, pixels: int, attack: str) -> list[Unit]:
    goals = [Goal(), Goal("targeted", 4), Goal("reduce", bound=0.1)]
    found = []
    for number, image in enumerate(random_images(7, SHAPE, seed=5)):
        goal = goals[number % 3]
        if goal.target == make_unit(of, image, name=str(number)).label:
            goal = Goal()
        found.append(make_unit(of, image, name=str(number), goal=goal, pixels=pixels, attack=attack))
    return found


def rows_of(of: TorchTarget, found: list[Unit], attack: str, way: Editing | None) -> dict[str, dict[str, Any]]:
    made = make_attack(attack)
    levels = made.on_windows(found[0].pixels) if found else ()
    if way is not None:
        for number in levels:
            way.restore(number, incremental=True)
    meter = Meter(of, 420, 64, editing=way, levels=levels)
    outcomes = (verify(one, of.probabilities) for one in made.run(meter, iter(found)))
    # Maps, of arrays, by their bytes: these can be compared.
    return {
        outcome.unit.image_name: {
            name: value.tobytes() if isinstance(value, np.ndarray) else value
            for name, value in outcome_row(outcome).items()
        }
        for outcome in outcomes
    }


@pytest.mark.parametrize("pixels", [1, 3])
def test_scores_are_those_of_the_whole_images(pixels: int) -> None:
    own = target()
    way, image = editing(own, pixels), random_images(1, SHAPE)[0]
    draws = np.random.default_rng(0)
    edits = Edits(
        draws.integers(0, 24, (90, pixels), np.int32),
        draws.integers(0, 20, (90, pixels), np.int32),
        draws.integers(0, 256, (90, pixels, 3), np.uint8),
    )
    bases = way.open(image)
    found = way.scores([bases] * 90, edits)
    exact = own.scores(own.images(edits.apply(np.repeat(image[None], 90, axis=0))))
    assert np.abs(found - exact).max() <= 1e-4 * np.abs(exact).max()
    bases.close()
    with pytest.raises(InputError, match="handle"):
        way.scores([bases] * 90, edits)


def test_what_candidates_keep_is_computed_once_and_changes_no_verdict() -> None:
    own = target()
    way, image = editing(own, 1), random_images(1, SHAPE)[0]
    draws = np.random.default_rng(1)
    n, pixels = 60, 4
    rows, columns = draws.integers(0, 24, (n, pixels), np.int32), draws.integers(0, 20, (n, pixels), np.int32)
    colours = draws.integers(0, 256, (n, pixels, 3), np.uint8)
    kept = np.repeat([0, 2, 3], n // 3).astype(np.int32)
    for number in (2, 3):
        there = kept == number
        for values in (rows, columns, colours):
            values[there, :number] = values[there][0, :number]
    # Of some the new pixel is one of those that are kept, and wins.
    rows[25, 3], columns[25, 3] = rows[25, 1], columns[25, 1]
    count = np.full(n, pixels, np.int32)
    count[30:40] = 3
    edits = Edits(rows, columns, colours, count, kept)
    assert way.near(edits, (1, 4)).tolist() == (count - kept == 1).tolist()
    with pytest.raises(InputError, match="base image"):
        way.engine.dense([0], edits.take([0]))
    bases = way.open(image)
    found = way.scores([bases] * n, edits)
    # The image, and the two that candidates have in common.
    assert len(way.engine._images) == 3
    exact = own.scores(own.images(edits.apply(np.repeat(image[None], n, axis=0))))
    assert np.abs(found - exact).max() <= 1e-4 * np.abs(exact).max()
    # The bits of each are its own, whoever is beside it.
    for row in (3, 25, 33, 55):
        assert np.array_equal(way.scores([bases], edits.take([row]))[0], found[row])
    bases.close()
    assert not way.engine._images


def test_only_candidates_near_their_base_go_on_windows() -> None:
    own = target()
    way = editing(own, 1)
    way.restore(3, incremental=False)
    unit = make_unit(own, random_images(1, SHAPE)[0], pixels=3, attack="sweep")
    meter = Meter(own, 100, 64, editing=way, levels=(1, 3))
    handle = meter.open(unit)
    draws = np.random.default_rng(2)
    edits = Edits(
        draws.integers(0, 24, (20, 3), np.int32),
        draws.integers(0, 20, (20, 3), np.int32),
        draws.integers(0, 256, (20, 3, 3), np.uint8),
        kept=np.arange(20, dtype=np.int32) % 2 * 2,
    )
    scores = meter.score(edits, np.full(20, handle))
    exact = own.scores(own.images(edits.apply(np.repeat(unit.image[None], 20, axis=0))), fast=True)
    assert np.abs(scores - exact).max() <= 1e-4 * np.abs(exact).max()
    alone = Meter(own, 100, 64)
    whole = alone.score(edits, np.full(20, alone.open(unit)))
    assert np.array_equal(scores[::2], whole[::2])
    meter.close(handle)
    assert not way.engine._images


@pytest.mark.parametrize(
    ("attack", "pixels"), [("random", 1), ("few-pixel", 3), ("one-pixel", 1), ("sweep", 3), ("min-pixels", 3)]
)
def test_permuting_and_splitting_units_changes_no_bit(attack: str, pixels: int) -> None:
    own = target()
    way, every = editing(own, pixels), units(own, pixels, attack)
    whole = rows_of(own, every, attack, way)

    @given(st.permutations(range(7)), st.integers(1, 7))
    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    def check(order: list[int], cut: int) -> None:
        chosen = [every[number] for number in order]
        assert rows_of(own, chosen[:cut], attack, way) | rows_of(own, chosen[cut:], attack, way) == whole

    check()
    dense = rows_of(own, every, attack, None)
    if attack == "random":
        # Its course does not hang on scores: only where two classes are level could a verdict differ.
        assert {name: row["status"] for name, row in dense.items()} == {n: row["status"] for n, row in whole.items()}
    assert {row["status"] for row in whole.values()} <= {"fooled", "held"}


def test_base_images_are_let_go_of_with_their_units() -> None:
    own = target()
    way = editing(own, 1)
    rows_of(own, units(own, 1, "random"), "random", way)
    assert not way.engine._images


def test_what_is_kept_of_the_images_of_open_units_goes_with_an_attack_that_ends_in_the_middle() -> None:
    own = target()
    way = editing(own, 1)
    meter = Meter(own, 420, 64, editing=way)
    handles = np.array([meter.open(unit) for unit in units(own, 1, "random")])
    place = np.zeros((7, 1), np.int32)
    meter.score(Edits(place, place, np.zeros((7, 1, 3), np.uint8)), handles)
    assert len(way.engine._images) == 7
    meter.end()
    assert not way.engine._images
    assert not any(route.kept for route in way.engine._routes.values())


def test_what_candidates_keep_is_not_mixed_up_where_fewer_entries_count() -> None:
    own = target()
    way, image = editing(own, 1), random_images(1, SHAPE)[0]
    places = np.array([[1, 2, 3]] * 2, np.int32)
    edits = Edits(places, places, np.full((2, 3, 3), 255, np.uint8), np.array([3, 1]), np.array([2, 2]))
    bases = way.open(image)
    found = way.scores([bases, bases], edits)
    exact = own.scores(own.images(edits.apply(np.stack([image, image]))))
    assert np.abs(found - exact).max() <= 1e-4 * np.abs(exact).max()


def test_a_network_whose_weights_change_is_taken_apart_anew() -> None:
    own, images = target(), random_images(2, SHAPE)
    own.prepare(own.images(images))
    way = editing(own, 1)
    assert way.wrong(1, images) == ""
    with torch.no_grad():
        for value in own.module.parameters():
            value.mul_(1.5)
    own.prepare(own.images(images))
    way, edits = editing(own, 1), Edits.join([Edits.none(3)] * 2)
    found = way.scores([way.open(image) for image in images], edits)
    exact = own.scores(own.images(images))
    assert np.abs(found - exact).max() <= 1e-4 * np.abs(exact).max()


def test_what_cannot_be_carried_stays_dense_or_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.mean((2, 3))
            return flat if float(images.sum()) > 0 else -flat

    own = TorchTarget(Odd(), "logits")
    way = own.editing(SHAPE)
    assert way is not None
    images = random_images(2, SHAPE)
    assert not way.choose(1, "auto", images).incremental
    assert not way.used_for(1)
    with pytest.raises(InputError, match="--engine incremental"):
        way.choose(1, "incremental", images)
    assert TorchTarget(wide_net(), "logits", dtype=torch.bfloat16).editing(SHAPE) is None


class Touchy(nn.Module):
    """A net that windows are fine for, and that raises at a white pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.net = wide_net()
        self.embedding = nn.Embedding(2, 6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Windows end at the first value that they cannot carry.
        scores: torch.Tensor = self.net(images)
        white = (images.amin(1) > 0.999).flatten(1).sum(1)
        scores += 0 * self.embedding(2 * white)
        return scores


def test_a_candidate_that_the_network_fails_at_fails_its_unit_and_no_other() -> None:
    own = TorchTarget(Touchy().eval(), "logits", classes=6)
    way = editing(own, 1)
    draws = np.random.default_rng(5)
    edits = Edits(
        draws.integers(0, 24, (30, 1), np.int32),
        draws.integers(0, 20, (30, 1), np.int32),
        draws.integers(0, 200, (30, 1, 3), np.uint8),
    )
    touched = Edits(edits.rows, edits.columns, edits.colours.copy())
    touched.colours[[4, 17]] = 255
    owners = np.arange(30) % 3
    found = []
    for each in (edits, touched):
        meter = Meter(own, 100, 64, editing=way, cache=False)
        handles = np.array([meter.open(unit) for unit in [make_unit(own, im) for im in random_images(3, SHAPE)]])
        found.append(meter.score(each, handles[owners]))
        failed = [meter.failed(handle) for handle in handles.tolist()]
        assert [meter.close(handle)[0] for handle in handles.tolist()] == [10, 10, 10]
    # Rows 4 and 17 are of the second and the third unit.
    assert failed[0] is None
    assert all("index out of range" in str(reason) for reason in failed[1:])
    assert np.isnan(found[1][[4, 17]]).all()
    rest = np.delete(np.arange(30), [4, 17])
    assert np.array_equal(found[0][rest], found[1][rest])
    assert not way.engine._images


def test_a_network_that_fails_at_edited_images_is_not_chosen_windows_for() -> None:
    class Proud(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.embedding = wide_net(), nn.Embedding(1, 6)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.net(images)
            edited = (images.flatten(1).amax(1) > images.flatten(1).amin(1)).long()
            scores += self.embedding(edited)
            return scores

    way = TorchTarget(Proud().eval(), "logits").editing(SHAPE)
    assert way is not None
    even = np.full((2, *SHAPE), 128, np.uint8)
    choice = way.choose(1, "auto", even)
    assert not choice.incremental
    assert "index out of range" in choice.why
    with pytest.raises(InputError, match=r"--engine incremental.*index out of range"):
        way.choose(1, "incremental", even)


def test_a_network_that_cannot_be_copied_stays_dense() -> None:
    class Locked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lock = wide_net(), threading.Lock()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            with self.lock:
                scores: torch.Tensor = self.net(images)
            return scores

    way = TorchTarget(Locked().eval(), "logits").editing(SHAPE)
    assert way is not None
    assert "cannot pickle" in way.engine.why
    assert not way.choose(1, "auto", random_images(2, SHAPE)).incremental


def test_a_small_network_is_not_timed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    way = TorchTarget(net, "logits").editing(SHAPE)
    assert way is not None
    choice = way.choose(1, "auto", random_images(2, SHAPE))
    assert (choice.incremental, choice.ratio) == (False, None)
