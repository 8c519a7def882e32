"""Concatenations stay in parts where what reads them can take these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.incremental.engine import Incremental
from pinprick.incremental.plan import Plan, longest
from pinprick.incremental.route import Route
from pinprick.incremental.steps import ConcatStep, MaxStep, Step
from tests.conftest import random_images
from tests.incremental.nets import Beside, on_windows, random_edits, settled
from tests.incremental.test_same_scores import apart, dense

SHAPE = (3, 15, 13)
"""Of the images."""


def fire(channels: int, outputs: int) -> nn.Module:
    """Two kernels of different sizes beside each other, each with its ReLU."""
    small = nn.Sequential(nn.Conv2d(channels, outputs, 1), nn.ReLU(inplace=True))
    large = nn.Sequential(nn.Conv2d(channels, outputs + 1, 3, padding=1), nn.ReLU(inplace=True))
    return Beside(small, large)


HEAD: tuple[nn.Module, ...] = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
# Each with how many of its concatenations are made.
NETS: dict[str, tuple[Callable[[], list[nn.Module]], int]] = {
    "conv behind": (lambda: [fire(3, 4), nn.Conv2d(9, 6, 1)], 0),
    "strided conv behind": (lambda: [fire(3, 4), nn.Conv2d(9, 6, 3, 2, 1), nn.ReLU()], 0),
    "dilated conv behind": (lambda: [fire(3, 4), nn.Conv2d(9, 20, (3, 2), dilation=2)], 0),
    "pool between": (lambda: [fire(3, 4), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(9, 6, 1)], 0),
    "two pools between": (lambda: [fire(3, 4), nn.MaxPool2d(2), nn.MaxPool2d(3, 1, 1), nn.Conv2d(9, 6, 3)], 0),
    "dropout between": (lambda: [fire(3, 4), nn.Dropout(), nn.Conv2d(9, 6, 1)], 0),
    "put together twice": (lambda: [Beside(fire(3, 2), nn.Conv2d(3, 2, 1)), nn.Conv2d(7, 6, 3)], 0),
    "the same map twice": (lambda: [Beside(nn.Identity(), nn.Identity()), nn.Conv2d(6, 6, 3)], 0),
    "norm behind": (lambda: [fire(3, 4), nn.BatchNorm2d(9), nn.Conv2d(9, 6, 1)], 1),
    "groups behind": (lambda: [fire(3, 4), nn.Conv2d(9, 9, 3, groups=3)], 1),
    "read twice": (lambda: [fire(3, 4), Beside(nn.Conv2d(9, 3, 1), nn.MaxPool2d(3, 1, 1)), nn.Conv2d(12, 6, 1)], 0),
    "read as a whole as well": (lambda: [fire(3, 4), Beside(nn.Conv2d(9, 3, 1), nn.ELU()), nn.Conv2d(12, 6, 1)], 1),
    "average pool behind": (lambda: [fire(3, 4), nn.AvgPool2d(2), nn.Conv2d(9, 6, 1)], 1),
    "nothing behind": (lambda: [fire(3, 4)], 1),
}


def steps_of(engine: Incremental, pixels: int) -> list[Step]:
    assert engine.graph is not None
    return Route(engine.graph, engine.plan(pixels).windows, engine.device).steps


@pytest.mark.parametrize("name", NETS)
def test_scores_are_those_of_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    make, made_whole = NETS[name]
    net = settled(nn.Sequential(*make(), *HEAD), 0)
    engine = on_windows(net, SHAPE)
    assert sum(isinstance(step, ConcatStep) for step in steps_of(engine, 1)) == made_whole
    images = random_images(3, SHAPE)
    handles = engine.base(images)
    for pixels in (1, 2, 5):
        edits = random_edits(SHAPE, 40, pixels, pixels)
        which = np.arange(40) % 3
        found = engine.scores(handles[which], edits)
        assert apart(found, dense(net, images[which], edits)) < 1e-5
        for few in ([3], [9, 4, 31]):
            assert torch.equal(engine.scores(handles[which[few]], edits.take(few)), found[few])


@pytest.mark.parametrize("name", NETS)
def test_windows_may_end_anywhere(name: str) -> None:
    torch.manual_seed(1)
    net = settled(nn.Sequential(*NETS[name][0](), *HEAD), 1)
    engine = Incremental(net, SHAPE)
    assert engine.graph is not None
    nodes = longest(engine.graph)
    images = random_images(2, SHAPE)
    handles = engine.base(images)
    edits = random_edits(SHAPE, 20, 2, 1)
    which = np.arange(20) % 2
    exact = dense(net, images[which], edits)
    for end in range(2, len(nodes) + 1):
        for pixels in (1, 2):
            engine.use(Plan(pixels, nodes[:end], 1.0, (0.0, 0.0, 0.0)))
        assert apart(engine.scores(handles[which], edits), exact) < 1e-5


def test_a_pool_takes_each_part_by_itself() -> None:
    torch.manual_seed(2)
    net = settled(nn.Sequential(fire(3, 4), nn.MaxPool2d(2), nn.Conv2d(9, 6, 1), *HEAD), 2)
    pools = [step for step in steps_of(on_windows(net, SHAPE), 1) if isinstance(step, MaxStep)]
    assert [pool.channels for pool in pools] == [4, 5]
