"""Small random networks, of what windows are carried through and of some of what they are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pinprick.edits import Edits
from pinprick.incremental.engine import Incremental
from pinprick.incremental.plan import Plan, longest

Shape = tuple[int, int, int]


class Add(nn.Module):
    """Two branches added, by ``+``, in place, or by ``torch.add``."""

    def __init__(self, left: nn.Module, right: nn.Module, way: str) -> None:
        super().__init__()
        self.left, self.right, self.way = left, right, way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.left(x)
        if self.way == "in place":
            y += self.right(x)
            return y.relu_()
        if self.way == "minus":
            less: torch.Tensor = y - self.right(x)
            return less
        return torch.relu(torch.add(y, self.right(x)))


class Beside(nn.Module):
    """Branches side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Do(nn.Module):
    """Any function."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def settled(net: nn.Module, seed: int) -> nn.Module:
    """In evaluation mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(0, 0.3, generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
                if layer.affine:
                    layer.weight.uniform_(-1.5, 1.5, generator=generator)
                    layer.bias.normal_(0, 0.3, generator=generator)
    return net.eval()


AROUND: Shape = (3, 12, 11)


def around(middle: nn.Module, channels: int = 4) -> nn.Module:
    """A network for images of :data:`AROUND` with ``middle`` between a convolution of four channels and a head."""
    first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), middle)
    head = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    net = nn.Sequential(first, head)
    with torch.no_grad():
        net.eval()(torch.zeros(2, *AROUND))
    return settled(net, 0)


class Maker:
    """Draws layers, and keeps count of channels and size."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        height, width = (int(size) for size in self.rng.integers(7, 20, 2))
        self.shape: Shape = (self.one(1, 3, 4), height, width)
        self.channels = self.shape[0]

    def one(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def conv(self, *, same: bool = False, outputs: int | None = None) -> nn.Module:
        """A convolution; with ``same`` it keeps the size of the map."""
        out = outputs or self.one(2, 4, 6, 17)
        # torch warns of even kernels that keep the size.
        kernel = (self.one(1, 3, 5), self.one(1, 3)) if same else (self.one(1, 2, 3, 4, 5), self.one(1, 2, 3, 5))
        stride = (self.one(1, 1, 2, 3), self.one(1, 1, 2, 3))
        spread = (self.one(1, 1, 2), self.one(1, 1, 2))
        pads = (self.one(0, 1, 2), self.one(0, 1, 2))
        shared = [groups for groups in (1, 2, self.channels) if self.channels % groups == 0 and out % groups == 0]
        groups = self.one(*shared)
        made = (
            nn.Conv2d(self.channels, out, kernel, 1, "same", spread, groups, bias=bool(self.one(0, 1)))
            if same
            else nn.Conv2d(self.channels, out, kernel, stride, pads, spread, groups, bias=bool(self.one(0, 1)))
        )
        self.channels = out
        return made

    def point(self) -> nn.Module:
        kinds: list[Callable[[], nn.Module]] = [
            lambda: nn.ReLU(inplace=True),
            nn.ReLU,
            lambda: nn.LeakyReLU(0.2),
            lambda: nn.ELU(inplace=True),
            nn.GELU,
            nn.Sigmoid,
            nn.Hardswish,
            lambda: Do(lambda x: F.leaky_relu(x, 0.1, True)),
            lambda: Do(lambda x: x.relu_()),
            lambda: Do(torch.tanh),
            lambda: Do(lambda x: F.hardtanh(x, -0.5, 0.7)),
        ]
        return kinds[self.one(*range(len(kinds)))]()

    def pool(self) -> nn.Module:
        kernel = (self.one(1, 2, 3), self.one(2, 3))
        stride = (self.one(1, 2, 3), self.one(1, 2))
        pads = (kernel[0] // 2 * self.one(0, 1), kernel[1] // 2 * self.one(0, 1))
        ceil = bool(self.one(0, 1))
        if self.one(0, 1):
            return nn.MaxPool2d(kernel, stride, pads, dilation=self.one(1, 1, 2), ceil_mode=ceil)
        divisor = (None, 3)[self.one(0, 1)]
        return nn.AvgPool2d(kernel, stride, pads, ceil, bool(self.one(0, 1)), divisor)

    def other(self) -> nn.Module:
        channels = self.channels
        scale = torch.linspace(0.5, 1.5, channels)[:, None, None]
        kinds: list[Callable[[], nn.Module]] = [
            lambda: nn.BatchNorm2d(channels),
            lambda: nn.BatchNorm2d(channels, affine=False),
            nn.Identity,
            lambda: nn.Dropout(0.5),
            lambda: nn.Dropout2d(0.5, inplace=True),
            lambda: Do(lambda x: F.pad(x, (1, 0, 0, 2))),
            lambda: Do(lambda x: x[:, :, 1:, ::2]),
            lambda: Do(lambda x: x * 0.5 + 1),
            lambda: Do(lambda x: 1 - x / 2),
            lambda: Do(lambda x: x * scale),
            lambda: Do(lambda x: F.dropout(x, 0.5, False)),
            lambda: Do(lambda x: x.contiguous()),
        ]
        return kinds[self.one(*range(len(kinds)))]()

    def branch(self, outputs: int, channels: int) -> nn.Module:
        self.channels = channels
        layers = [self.conv(same=True, outputs=outputs)]
        if self.one(0, 1):
            layers += [nn.BatchNorm2d(outputs), self.point()]
        return nn.Sequential(*layers)

    def layers(self) -> list[nn.Module]:  # noqa: PLR0911
        kind, before = self.one(*range(9)), self.channels
        if kind <= 2:
            made = [self.conv()]
            return [*made, nn.BatchNorm2d(self.channels), nn.ReLU(inplace=True)] if kind else [*made, self.point()]
        if kind == 3:
            return [self.pool()]
        if kind == 4:
            return [self.other()]
        if kind == 5:
            left = self.branch(before, before)
            right = nn.Identity() if self.one(0, 1) else self.branch(before, before)
            return [Add(left, right, ("plus", "in place", "minus")[self.one(0, 1, 2)])]
        if kind == 6:
            parts = [self.branch(self.one(2, 3), before) for _ in range(self.one(2, 3))]
            made = [Beside(*parts, nn.Identity())]
            with torch.no_grad():
                self.channels = made[0](torch.zeros(1, before, 9, 9)).shape[1]
            return made
        if kind == 7:
            # The same layers twice.
            shared = [self.branch(before, before), nn.ReLU(inplace=True)]
            return [*shared, *shared]
        return [self.point()]


def random_net(seed: int) -> tuple[nn.Module, Shape]:
    """A network of 2 to 7 random layers and a head, and the shape of its images."""
    maker = Maker(seed)
    layers: list[nn.Module] = []
    x = torch.zeros(2, *maker.shape)
    for _ in range(maker.one(2, 3, 4, 5, 6, 7)):
        channels = maker.channels
        made = maker.layers()
        try:
            with torch.no_grad():
                x = nn.Sequential(*made).eval()(x)
        except RuntimeError:
            # The map is too small for what was drawn.
            maker.channels = channels
            continue
        layers += made
    if maker.one(0, 1):
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maker.channels, 5)]
    else:
        layers += [nn.Flatten(), nn.Linear(x[0].numel(), 5)]
    return settled(nn.Sequential(*layers), seed), maker.shape


def random_edits(shape: Shape, n: int, pixels: int, seed: int) -> Edits:
    """Random edits; among them corners, pixels side by side and the same pixel twice."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    rows = rng.integers(0, height, (n, pixels), dtype=np.int32)
    columns = rng.integers(0, width, (n, pixels), dtype=np.int32)
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    for place, (row, column) in enumerate(corners[:n]):
        rows[place, 0], columns[place, 0] = row, column
    for place in range(4, n, 4):
        if pixels > 1:
            rows[place, 1], columns[place, 1] = rows[place, 0], min(columns[place, 0] + 1, width - 1)
    for place in range(5, n, 7):
        rows[place, -1], columns[place, -1] = rows[place, 0], columns[place, 0]
    colours = rng.integers(0, 256, (n, pixels, channels), dtype=np.uint8)
    count = rng.integers(0, pixels + 1, n).astype(np.int32) if seed % 2 else None
    return Edits(rows, columns, colours, count)


def on_windows(net: nn.Module, shape: Shape, share: float = 1.0, pixels: int = 6) -> Incremental:
    """An engine that carries windows as far as it can, or over ``share`` of that, whether it pays or not."""
    engine = Incremental(net, shape)
    assert engine.graph is not None, engine.why
    nodes = longest(engine.graph)
    for d in range(1, pixels + 1):
        engine.use(Plan(d, nodes[: round(share * len(nodes))], 1.0, (0.0, 0.0, 0.0)))
    return engine
