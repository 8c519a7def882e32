"""The check at the start tells right from wrong, and tells how fast it is."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.errors import InputError
from pinprick.incremental import Edits, Incremental, check
from pinprick.incremental.check import check_again, noise
from pinprick.incremental.conv import ConvStep
from pinprick.incremental.plan import Plan, longest
from tests.incremental.nets import on_windows, settled

SHAPE = (3, 16, 16)


def _net() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return settled(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)), 0)


def test_a_network_that_is_right_agrees() -> None:
    engine = on_windows(_net(), SHAPE)
    found = check(engine, 2, candidates=20, rounds=1)
    assert found.agrees
    assert found.steady
    assert 0 < found.difference < 1e-5
    assert found.ratio > 0
    assert found.plan == engine.plan(2)
    assert found.use == (found.ratio > 1)


def test_scores_that_differ_are_found_and_not_used() -> None:
    engine = on_windows(_net(), SHAPE)
    assert engine.graph is not None
    windows = longest(engine.graph)
    route = engine._route(windows)
    step = next(step for step in route.steps if isinstance(step, ConvStep))
    step.residues[0].weight.mul_(1.05)
    found = check(engine, 1, candidates=20, rounds=1)
    assert not found.agrees
    assert not found.use
    assert found.difference > 1e-5


@pytest.mark.parametrize(
    "moved",
    [lambda n: 1 + 1e-7 * torch.arange(n), lambda n: torch.full((n,), 1.000001 if n < 5 else 1.0)],
    ids=["by its place", "by how many there are"],
)
def test_scores_that_depend_on_the_others_are_found_and_not_used(
    monkeypatch: pytest.MonkeyPatch, moved: Callable[[int], torch.Tensor]
) -> None:
    monkeypatch.setattr(sys.modules[check.__module__], "_ratio", lambda *_: 9.0)
    engine = on_windows(_net(), SHAPE)
    before = check(engine, 1, candidates=20, rounds=1)
    assert before.steady
    assert before.use
    scores = engine.scores
    monkeypatch.setattr(engine, "scores", lambda handles, edits: scores(handles, edits) * moved(len(edits))[:, None])
    for found in (check(engine, 1, candidates=20, rounds=1), check_again(engine, 1, noise(SHAPE))):
        assert found.agrees
        assert not found.steady
        assert not found.use


def test_a_short_look_finds_scores_that_differ() -> None:
    engine = on_windows(_net(), SHAPE)
    found = check_again(engine, 2, noise(SHAPE))
    assert found.agrees
    assert found.steady
    assert not found.use
    engine._fast = engine.module
    with torch.no_grad():
        engine.module.get_parameter("0.weight").mul_(1.05)
    assert not check_again(engine, 2, noise(SHAPE)).agrees
    assert not engine._images


class Counting(nn.Module):
    """Gives other scores each time; torch.fx takes the first for all."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = _net(), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        made: torch.Tensor = self.net(x) * self.calls
        return made


def test_a_network_that_was_traced_wrongly_is_found() -> None:
    net = Counting().eval()
    engine = on_windows(net, SHAPE)
    engine.module = copy.deepcopy(net)
    engine.module.calls = 3
    assert not check(engine, 1, candidates=8, rounds=1).agrees


def test_a_dense_plan_is_neither_faster_nor_slower() -> None:
    engine = Incremental(_net(), SHAPE)
    engine.use(Plan(1, (), 1.0, (0.0, 0.0, 0.0)))
    assert engine.plan(1).dense
    found = check(engine, 1, candidates=8, rounds=1)
    assert found.agrees
    assert found.ratio == 1
    assert not found.use


@pytest.mark.gpu
def test_windows_work_on_cuda() -> None:
    engine = on_windows(_net().cuda(), SHAPE)
    found = check(engine, 3, candidates=100, rounds=1)
    assert found.agrees
    assert found.steady


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"pixels": 0}, "pixels: 0. Give a whole number from 1 to 256"),
        ({"pixels": 257}, "pixels: 257"),
        ({"pixels": 1.5}, r"pixels: 1\.5"),
        ({"candidates": 0}, "candidates: 0"),
        ({"rounds": True}, "rounds: True"),
    ],
)
def test_what_cannot_be_checked_is_refused(given: dict[str, Any], right: str) -> None:
    with pytest.raises(InputError, match=right):
        check(Incremental(_net(), SHAPE), **given)


def test_other_things_than_networks_and_edits_are_refused() -> None:
    with pytest.raises(InputError, match="module: a function, not a torch module"):
        Incremental(_net, SHAPE)  # type: ignore[arg-type]
    engine = Incremental(_net(), SHAPE)
    handles = engine.base(np.zeros((1, *SHAPE), np.uint8))
    with pytest.raises(InputError, match=r"edits: a list\. Give pinprick\.Edits"):
        engine.scores(handles, [(1, 2, (3, 4, 5))])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"images: none\. Give one"):
        check(engine, images=np.zeros((0, *SHAPE), np.uint8))
    with pytest.raises(TypeError, match="rows are a list; give arrays"):
        Edits([[1]], [[0]], [[[0, 0, 0]]])  # type: ignore[arg-type]
