"""Steps that windows are carried through, and what they read elsewhere, give the scores of the whole network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pinprick.incremental.graph import trace
from pinprick.incremental.plan import longest
from pinprick.models.preprocessing import Preprocess
from tests.conftest import random_images
from tests.incremental.nets import AROUND, Do, around, on_windows, random_edits, settled
from tests.incremental.test_same_scores import apart, dense

SHAPE = AROUND
KERNEL = torch.linspace(-1, 1, 64).view(4, 4, 2, 2)


class Constants(nn.Module):
    """Computes some of its weights from others."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt, self.layer = nn.Parameter(torch.linspace(-1, 1, 6).view(2, 3)), nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shift: torch.Tensor = self.layer(self.prompt)
        return x + shift.mean(0).view(4, 1, 1)


CARRIED: dict[str, Callable[[], nn.Module]] = {
    "even kernels that keep the size": lambda: nn.Conv2d(4, 4, (2, 4), padding="same", dilation=(1, 2)),
    "a function's even kernel": lambda: Do(lambda x: F.conv2d(x, KERNEL, None, 1, "same")),
    "values by their channel": lambda: Do(lambda x: x * torch.linspace(0.5, 2, 4)[:, None, None] - 0.1),
    "channels cut": lambda: Do(lambda x: torch.cat([x[:, 2:], x[:, :2]], -3)),
    "a layer of constants": Constants,
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CARRIED)
def test_steps_that_windows_cross_have_the_same_scores(name: str) -> None:
    net = around(CARRIED[name]())
    engine = on_windows(net, SHAPE)
    assert engine.graph is not None
    assert sum(node.op is None for node in engine.graph.nodes.values()) == 2
    images = random_images(2, SHAPE)
    which = np.arange(20) % 2
    edits = random_edits(SHAPE, 20, 2, 0)
    assert apart(engine.scores(engine.base(images)[which], edits), dense(net, images[which], edits)) < 1e-4


def test_preprocessing_for_channels_in_the_other_order_is_carried() -> None:
    net = nn.Sequential(Preprocess((0.5, 0.4, 0.3), (0.2, 0.5, 0.9), "bgr"), around(nn.Identity())).eval()
    engine = on_windows(net, SHAPE)
    images, edits = random_images(2, SHAPE), random_edits(SHAPE, 20, 2, 0)
    which = np.arange(20) % 2
    assert apart(engine.scores(engine.base(images)[which], edits), dense(net, images[which], edits)) < 1e-4


@pytest.mark.parametrize(
    "middle",
    [lambda: Do(lambda x: F.dropout(x, 0.5, True)), lambda: nn.BatchNorm2d(4, track_running_stats=False)],
    ids=["dropout", "statistics of the batch"],
)
def test_what_depends_on_chance_or_on_the_batch_is_not_carried(middle: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), middle(), nn.Conv2d(4, 4, 3), nn.ReLU()).eval()
    assert len(longest(trace(net, SHAPE))) == 3


class Elsewhere(nn.Module):
    """Reads weights of layers that would be changed to be faster."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.head, self.way = nn.Linear(8, 5), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.conv(x))
        if self.way == "two rates":
            y = y + self.other(F.conv2d(x, self.conv.weight, padding=2, dilation=2))
        if self.way == "bias":
            assert self.conv.bias is not None
            y = y + self.conv.bias.view(8, 1, 1)
        if self.way == "value":
            value = self.conv(x)
            y = self.norm(value) + value
        if self.way == "twice":
            y = y + self.other(self.conv(x.flip(1)))
        z = F.relu(y).mean((2, 3))
        made: torch.Tensor = self.head(z)
        if self.way == "cosine":
            made = made / self.head.weight.abs().mean()
        if self.way == "difference":
            made = made - F.linear(z * z, self.head.weight, self.head.bias)
        return made


@pytest.mark.parametrize("way", ["two rates", "bias", "value", "twice", "cosine", "difference"])
def test_weights_and_values_that_are_read_elsewhere_are_left_alone(way: str) -> None:
    torch.manual_seed(0)
    net = settled(Elsewhere(way), 0)
    engine = on_windows(net, SHAPE)
    images, edits = random_images(2, SHAPE), random_edits(SHAPE, 20, 2, 0)
    which = np.arange(20) % 2
    exact, handles = dense(net, images[which], edits), engine.base(images)[which]
    assert apart(engine.scores(handles, edits), exact) < 1e-5
    assert apart(engine.dense(handles, edits), exact) < 1e-5


def test_values_of_five_dimensions_do_not_stop_it() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.scale = around(nn.Identity()), nn.Parameter(torch.linspace(1, 2, 5).view(1, 1, 1, 1, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.net(x) * self.scale.view(1, 5)
            return made

    net = Deep().eval()
    engine = on_windows(net, SHAPE)
    images, edits = random_images(1, SHAPE), random_edits(SHAPE, 9, 2, 0)
    found = engine.scores(np.repeat(engine.base(images), 9), edits)
    assert apart(found, dense(net, np.repeat(images, 9, 0), edits)) < 1e-4
