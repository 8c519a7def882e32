"""The digest of a module's weights: one for equal values, another for any other."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.models.registry import build_net
from pinprick.models.weights import weights_digest
from tests.models.test_weights import net


def constant() -> nn.Module:
    module = build_net("fc-2", 2, (1, 1, 2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.arange(parameter.numel(), dtype=torch.float32).view_as(parameter) / 4)
    return module


def test_digest_is_the_same_on_every_machine_and_in_every_layout() -> None:
    # Written down once: digests are stored in manifests and must not change between versions.
    assert weights_digest(constant()) == "f4b4061f790da7298c3af1d07159fc66"
    module = net()
    assert weights_digest(module) == weights_digest(net())
    assert weights_digest(module.to(memory_format=torch.channels_last)) == weights_digest(net())  # type: ignore[call-overload]
    assert weights_digest(module.train()) == weights_digest(net())


def test_digest_changes_with_every_value_type_and_name() -> None:
    base, seen = weights_digest(net()), set()
    for name in net().state_dict():
        module = net()
        value = module.state_dict()[name].view(-1)
        with torch.no_grad():
            # The smallest change there is: the last bit of the last value.
            bits = value.view(torch.int32) if value.dtype == torch.float32 else value
            bits[-1] ^= 1
        seen.add(weights_digest(module))
    assert len(seen) == len(net().state_dict())
    assert base not in seen
    assert weights_digest(net().double()) != base
    assert weights_digest(nn.Sequential(nn.Identity(), *net().children())) != base
    assert weights_digest(net(seed=1)) != base
    a, b = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        a.weight.zero_()
        b.weight.zero_()
    assert weights_digest(a) != weights_digest(b)


class Box(nn.Module):
    """A module that keeps any object as its state."""

    def __init__(self, state: object) -> None:
        super().__init__()
        self.state = state

    def get_extra_state(self) -> object:
        return self.state


class Opaque:
    """Something whose bytes are its own affair."""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1.0}),
        ([1, 2], [2, 1]),
        ([1, [2]], [1, 2]),
        ("text", b"text"),
        (torch.int8, torch.qint8),
        (np.arange(3), np.arange(3).astype(np.float32)),
        (io.BytesIO(b"abc"), io.BytesIO(b"abd")),
        (torch.ones(2, 3), torch.ones(3, 2)),
        (torch.eye(3).to_sparse(), torch.zeros(3, 3).to_sparse()),
        ({1, 2}, {1, 3}),
        (np.float32(1), np.float32(2)),
        ({Opaque(): 1}, {Opaque(): 2}),
        (None, Opaque()),
    ],
)
def test_digest_covers_state_that_is_no_tensor(one: object, other: object) -> None:
    assert weights_digest(Box(one)) == weights_digest(Box(copy.deepcopy(one)))
    assert weights_digest(Box(one)) != weights_digest(Box(other))
    assert weights_digest(Box(other)) == weights_digest(Box(copy.deepcopy(other))), "no address is in it"


def test_digest_of_quantised_tensors_covers_values_scale_and_zero_point() -> None:
    values = torch.tensor([[0.5, -1.0], [1.0, 0.25]])

    def one(scale: float, zero: int) -> torch.Tensor:
        return torch.quantize_per_tensor(values, scale, zero, torch.qint8)

    def each(*scales: float) -> torch.Tensor:
        return torch.quantize_per_channel(
            values, torch.tensor(scales), torch.zeros(2, dtype=torch.int64), 0, torch.qint8
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        makes: list[Callable[[], torch.Tensor]] = [
            lambda: one(0.1, 0),
            lambda: one(0.2, 0),
            lambda: one(0.1, 1),
            lambda: each(0.1, 0.1),
            lambda: each(0.1, 0.2),
        ]
        digests = [[weights_digest(Box(make())) for make in makes] for _ in range(2)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(makes)
