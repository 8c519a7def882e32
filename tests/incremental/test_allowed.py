"""What is not on the list is computed densely, or keeps the network in one piece; it never gives other scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.incremental.engine import Incremental
from pinprick.incremental.graph import UntraceableError, trace
from pinprick.incremental.plan import Plan, longest
from pinprick.models.preprocessing import Preprocess
from pinprick.targets.torch_target import folded
from tests.conftest import random_images
from tests.incremental.nets import AROUND, Do, around, on_windows, random_edits, settled
from tests.incremental.test_same_scores import apart, dense

SHAPE = AROUND


class Own(nn.Conv2d):
    """A convolution that does more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * x.mean((1, 2, 3), keepdim=True)


class Excite(nn.Module):
    """Channels scaled by what the whole map holds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


DENSE: dict[str, Callable[[], nn.Module]] = {
    "a subclass": lambda: Own(4, 4, 3, padding=1),
    "reflected borders": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "borders that wrap": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "repeated borders": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"),
    "padding with ones": lambda: Do(lambda x: F.pad(x, (1, 1, 1, 1), value=1.0)),
    "reflected padding": lambda: Do(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")),
    "squeeze and excite": Excite,
    "group norm": lambda: nn.GroupNorm(2, 4),
    "instance norm": lambda: nn.InstanceNorm2d(4),
    "statistics of the batch": lambda: nn.InstanceNorm2d(4, affine=True),
    "softmax over channels": nn.Softmax2d,
    "softmax over columns": lambda: Do(lambda x: x.softmax(-1)),
    "flipped": lambda: Do(lambda x: x.flip(3)),
    "transposed": lambda: Do(lambda x: x.transpose(2, 3)),
    "upsampled": lambda: nn.Upsample(scale_factor=2),
    "a sum of other weight": lambda: Do(lambda x: torch.add(x, x.relu(), alpha=2)),
    "a constant map added": lambda: Do(lambda x: x + torch.linspace(0, 1, 11)),
    "a constant map multiplied": lambda: Do(lambda x: x * torch.linspace(0, 1, 11)),
    "two maps multiplied": lambda: Do(lambda x: x * x),
    "division by a map": lambda: Do(lambda x: 1 / (x + 2)),
    "the largest of several channels": lambda: Do(lambda x: x.max(1, keepdim=True)[0].expand(-1, 4, -1, -1)),
    "side by side in columns": lambda: Do(lambda x: torch.cat([x, x], dim=3)),
    "bins of several sizes": lambda: nn.AdaptiveAvgPool2d((5, 4)),
    "the largest of bins": lambda: nn.AdaptiveMaxPool2d((3, 4)),
    "mean of columns": lambda: Do(lambda x: x - x.mean(3, keepdim=True)),
    "a slice backwards": lambda: Do(lambda x: x[..., 1:]),
    "one row": lambda: Do(lambda x: x + x[:, :, :1]),
    "transposed convolution": lambda: nn.ConvTranspose2d(4, 4, 3, padding=1),
    "norm of positions": lambda: nn.LayerNorm([12, 11]),
    "local response norm": lambda: nn.LocalResponseNorm(3),
    "shuffled pixels": lambda: nn.Sequential(nn.PixelUnshuffle(1), nn.ChannelShuffle(2)),
    "unfolded": lambda: Do(lambda x: F.fold(F.unfold(x, 3, padding=1), (12, 11), 3, padding=1)),
    "parameters of its own": lambda: nn.PReLU(4),
    "random in evaluation": nn.RReLU,
    "half of the channels": lambda: nn.Sequential(Do(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1))),
    "a view of channels last": lambda: Do(lambda x: x.view(x.shape[0], 4, 132).view(-1, 4, 12, 11)),
    "a layout of its own": lambda: Do(lambda x: x.as_strided(x.shape, (528, 132, 11, 1))),
    "channels and positions cut at once": lambda: Do(lambda x: torch.cat([x[:, 1:, 1:], x[:, :1, 1:]], 1)),
    "channels and positions padded at once": lambda: Do(lambda x: F.pad(x, (1, 1, 1, 1, 1, 0))[:, 1:]),
    "one channel spread over all": lambda: Do(lambda x: x[:, :1] + torch.linspace(0, 1, 4)[:, None, None]),
    "double precision": lambda: Do(lambda x: x.double().exp().float()),
}


@pytest.mark.parametrize("name", DENSE)
def test_steps_that_windows_cannot_cross_are_dense_and_the_scores_the_same(name: str) -> None:
    net = around(DENSE[name]())
    engine = Incremental(net, SHAPE)
    if engine.graph is not None:
        engine = on_windows(net, SHAPE)
    images = random_images(2, SHAPE)
    which = np.arange(20) % 2
    edits = random_edits(SHAPE, 20, 2, 0)
    assert apart(engine.scores(engine.base(images)[which], edits), dense(net, images[which], edits)) < 1e-4


@pytest.mark.parametrize("name", ["reflected borders", "two maps multiplied", "group norm", "a sum of other weight"])
def test_what_comes_before_is_carried_on_windows(name: str) -> None:
    graph = trace(around(DENSE[name]()), SHAPE)
    assert 3 <= len(longest(graph)) <= 4


def test_functions_are_carried_on_windows_as_layers_are() -> None:
    def middle(x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(x, 2, 1))
        return F.dropout(F.silu(x) + F.avg_pool2d(x, 3, 1, 1), training=False)

    graph = trace(around(Do(middle)), SHAPE)
    assert [node.name for node in graph.nodes.values() if node.op is None] == list(graph.nodes)[-2:]


class Reads(nn.Module):
    """Changes a value in place that it reads again."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.relu, self.way = nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), way
        self.shift = nn.Parameter(torch.ones(1, 5, 1, 1), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        if self.way == "relu":
            z = self.relu(y) * 2
            y = z + y
        elif self.way == "sum":
            z = y
            z += 1.5
            y = z + y
        elif self.way == "view":
            y.flatten(1).relu_()
            y = y * 2
        elif self.way == "unusual view":
            y.swapaxes(1, 2).relu_()
            y = y * 2
        elif self.way == "data":
            y.data += 1
            y = y * 2
        else:
            y = y + self.shift.mul_(1.0)
        return y.mean((2, 3))


@pytest.mark.parametrize("way", ["relu", "sum", "view", "unusual view", "data", "weights"])
def test_values_changed_in_place_and_read_again_keep_their_meaning(way: str) -> None:
    net = Reads(way).eval()
    engine = Incremental(net, SHAPE)
    assert ("it reads .data" if way == "data" else "in place") in engine.why
    images = random_images(2, SHAPE)
    which = np.arange(20) % 2
    edits = random_edits(SHAPE, 20, 2, 0)
    assert apart(engine.scores(engine.base(images)[which], edits), dense(net, images[which], edits)) < 1e-4


@torch.fx.wrap
def brighter(x: torch.Tensor) -> torch.Tensor:
    """Of unknown make: it changes what it is given."""
    return x.add_(1)


def _foreign() -> nn.Module:
    return around(Do(lambda x: x + brighter(x)))


class Half(nn.Module):
    """Computes in half precision what looks as if it were in single."""

    def __init__(self) -> None:
        super().__init__()
        self.net = around(nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            made: torch.Tensor = self.net(x).float()
        return made


class Branching(nn.Module):
    """Goes another way for bright images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return (y if x.mean() > 0 else -y).mean((2, 3))


def _hooked() -> nn.Module:
    net = around(nn.Identity())
    net[0][0].register_forward_hook(lambda layer, given, made: made * 2)  # type: ignore[index]
    return net


def _replaced() -> nn.Module:
    net = around(nn.Identity())
    net[0][0].forward = lambda x: F.pad(x, (0, 0, 0, 0, 0, 1))  # type: ignore[index]
    return net


def _training() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    net(torch.zeros(2, *SHAPE))
    net.eval()
    net[1].train()
    return net


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Branching().eval(), "cannot trace"),
        (_hooked, "has hooks"),
        (_replaced, "was replaced"),
        (_training, "training mode"),
        (lambda: around(nn.Identity()).double(), "float64"),
        (_foreign, r"it calls tests\.brighter"),
        (lambda: Half().eval(), "autocast"),
    ],
    ids=["control flow", "hooks", "another forward", "training", "double", "foreign", "autocast"],
)
def test_networks_that_cannot_be_taken_apart_say_why(make: Callable[[], nn.Module], why: str) -> None:
    with pytest.raises(UntraceableError, match=why):
        trace(make(), SHAPE)


@pytest.mark.parametrize(
    "make",
    [lambda: Branching().eval(), _hooked, _replaced, _foreign, lambda: Half().eval()],
    ids=["flow", "hooks", "forward", "foreign", "autocast"],
)
def test_networks_in_one_piece_are_run_as_they_are(make: Callable[[], nn.Module]) -> None:
    net = make()
    engine = Incremental(net, SHAPE)
    assert engine.plan(1).dense
    assert engine.plan(1).why == engine.why != ""
    images = random_images(1, SHAPE)
    edits = random_edits(SHAPE, 9, 3, 0)
    found = engine.scores(np.repeat(engine.base(images), 9), edits)
    assert apart(found, dense(net, np.repeat(images, 9, 0), edits)) < 1e-4


def test_shared_layers_are_not_folded_twice() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    body = nn.Sequential(conv, nn.BatchNorm2d(3), nn.ReLU(), conv, nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    net = settled(nn.Sequential(body, nn.Linear(3 * 12 * 11, 4)), 1)
    engine = on_windows(net, SHAPE)
    images = random_images(1, SHAPE)
    edits = random_edits(SHAPE, 9, 2, 0)
    found = engine.scores(np.repeat(engine.base(images), 9), edits)
    assert apart(found, dense(net, np.repeat(images, 9, 0), edits)) < 1e-4


def test_bad_input_is_named() -> None:
    net = around(nn.Identity())
    engine = Incremental(net, SHAPE)
    handles = engine.base(random_images(2, SHAPE))
    edits = random_edits(SHAPE, 2, 1, 0)
    with pytest.raises(InputError, match="uint8 of shape"):
        engine.base(random_images(2, (3, 4, 4)))
    with pytest.raises(InputError, match="no handle 7"):
        engine.scores([0, 7], edits)
    with pytest.raises(InputError, match="one handle a candidate"):
        engine.scores(handles[:1], edits)
    with pytest.raises(InputError, match="images have 3"):
        engine.scores(handles, random_edits((1, 12, 11), 2, 1, 0))
    with pytest.raises(InputError, match=r"Give 0 to 11\."):
        engine.scores(handles, random_edits((3, 40, 11), 4, 1, 0).take([2, 3]))
    with pytest.raises(InputError, match="not this network's"):
        engine.use(Plan(1, ("nothing",), 1.0, (0.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="handles of type float64"):
        engine.scores([0.0, 1.0], edits)  # type: ignore[list-item]
    with pytest.raises(InputError, match="base images: a list"):
        engine.base(list(random_images(2, SHAPE)))  # type: ignore[arg-type]
    assert engine.dense([], edits.take(slice(0))).shape == (0, 5)
    engine.forget(handles[:1])
    with pytest.raises(InputError, match="no handle 0"):
        engine.scores(handles, edits)


def test_entries_that_do_not_count_may_hold_anything() -> None:
    net = around(nn.Identity())
    engine = on_windows(net, list(SHAPE))  # type: ignore[arg-type]
    handles, edits = engine.base(random_images(1, SHAPE)), random_edits(SHAPE, 1, 1, 0)
    rows, columns = (np.concatenate([values, [[99]]], 1).astype(np.int32) for values in (edits.rows, edits.columns))
    wide = Edits(rows, columns, np.concatenate([edits.colours] * 2, 1), np.array([1], np.int32))
    assert torch.equal(engine.scores(handles, wide), engine.scores(handles, edits))


def test_the_usual_preprocessing_can_be_traced_with_what_is_behind_it() -> None:
    net = nn.Sequential(Preprocess((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(folded(net)(images), net(images))
