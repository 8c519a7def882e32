"""Torch modules of every usual make, and what is done to them."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.errors import InputError
from pinprick.models.preprocessing import Preprocess
from pinprick.targets.outputs import settle
from pinprick.targets.passes import ask
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_net, random_images

SHAPE = (1, 8, 8)


def with_norm() -> nn.Sequential:
    """A small net with batch norm, whose running mean and variance are not the usual ones."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.normal_()
    return net


def scores_of(target: TorchTarget, *, fast: bool = False) -> Any:
    answers = ask(target, random_images(5, SHAPE), 8, fast=fast)
    assert not answers.reasons, answers.reasons
    return answers.scores


class Silent(nn.Sequential):
    """Keeps to its own idea of what ``train`` returns."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)


class Remembering(nn.Module):
    """Keeps state that is no tensor, as layers of other libraries do."""

    def __init__(self, state: object) -> None:
        super().__init__()
        self.inner, self.state = with_norm(), state

    def get_extra_state(self) -> object:
        return self.state

    def set_extra_state(self, state: object) -> None:
        self.state = state

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(images)
        return result


def exported(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("n", min=1, max=64)}
        return torch.export.export(net, (torch.rand(4, *SHAPE),), dynamic_shapes=(batch,)).module()


def quantised(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: nn.Module = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return made


def test_an_exported_program_is_a_target_and_its_mode_is_not_spoken_of() -> None:
    net = with_norm().eval()
    target = TorchTarget(exported(net), "logits")
    assert not target.was_training
    assert np.allclose(scores_of(target), scores_of(TorchTarget(net, "logits")), atol=1e-5)
    assert target.identity()["weights"]


def test_what_lies_beside_an_exported_program_is_put_into_evaluation_mode() -> None:
    program = exported(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)).eval())
    net = nn.Sequential(nn.Dropout(0.5), program, with_norm())
    target = TorchTarget(net, "logits")
    assert target.was_training
    assert not any(part.training for part in (net, net[0], *net[2].modules()))
    assert np.array_equal(scores_of(target), scores_of(target))


@pytest.mark.parametrize("make", [lambda: Silent(*with_norm()), lambda: quantised(with_norm().eval())])
@pytest.mark.parametrize("fast", [False, True])
def test_modules_of_other_makes_are_targets(make: Any, fast: bool) -> None:
    target = TorchTarget(make(), "logits")
    target.prepare(target.images(random_images(32, SHAPE)))
    plain = scores_of(TorchTarget(with_norm(), "logits"))
    assert np.allclose(scores_of(target, fast=fast), plain, atol=0.05)
    assert target.identity() == target.identity()


def test_equal_quantised_modules_have_one_identity_and_others_another() -> None:
    nets = [quantised(with_norm().eval()) for _ in range(2)]
    other = with_norm().eval()
    with torch.no_grad():
        linear = other[4]
        assert isinstance(linear, nn.Linear)
        linear.weight[0, 0] += 1
    same = {TorchTarget(net).identity()["weights"] for net in nets}
    assert len(same) == 1
    assert TorchTarget(quantised(other)).identity()["weights"] not in same


def test_state_that_is_no_tensor_is_part_of_the_identity() -> None:
    target = TorchTarget(Remembering({"scale": torch.ones(2), "steps": [1, 2]}), "logits")
    assert len(scores_of(target)) == 5
    weights = {
        TorchTarget(Remembering(state)).identity()["weights"]
        for state in ({"scale": torch.ones(2), "steps": [1, 2]}, {"scale": torch.ones(2), "steps": [1, 3]}, None)
    }
    assert len(weights) == 3
    assert target.identity()["weights"] in weights


def test_training_mode_is_told_wherever_in_the_module_it_is() -> None:
    net = with_norm().eval()
    assert not TorchTarget(net).was_training
    net[1].train()
    assert TorchTarget(net).was_training
    assert not any(part.training for part in net.modules())


class Mixed(nn.Module):
    """Half precision up to a norm that is in single precision, as usual in half precision networks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 4, 3).to(torch.bfloat16)
        self.norm = nn.GroupNorm(2, 4)
        self.last = nn.Linear(144, 5).to(torch.bfloat16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.bfloat16
        whole = self.norm(self.first(images).float()).bfloat16()
        result: torch.Tensor = self.last(whole.flatten(1))
        return result


def test_a_module_of_several_precisions_keeps_them() -> None:
    net = Mixed()
    target = TorchTarget(net, "logits")
    assert net.norm.weight.dtype == torch.float32
    assert net.first.weight.dtype == torch.bfloat16
    assert target.dtype == torch.bfloat16
    assert scores_of(target).dtype == np.float32, "NumPy has no bfloat16"
    settle(target, random_images(40, SHAPE))


def test_a_precision_that_is_asked_for_is_that_of_a_copy() -> None:
    net = digits_net()
    before = copy.deepcopy(net.state_dict())
    double = TorchTarget(net, "logits", dtype=torch.float64)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert next(net.parameters()).dtype == torch.float32
    assert scores_of(double).dtype == np.float64
    assert np.allclose(scores_of(double), scores_of(TorchTarget(net, "logits")), atol=1e-4)


def test_the_scores_of_a_double_module_are_not_cut() -> None:
    net = copy.deepcopy(digits_net()).double()
    images = torch.from_numpy(random_images(8, SHAPE)).double() / 255
    with torch.no_grad():
        exact = net(images).numpy()
    assert np.array_equal(TorchTarget(net, "logits").scores(images), exact)


def test_the_same_preprocessing_may_serve_two_targets() -> None:
    preprocess = Preprocess((0.5,), (0.25,))
    single = TorchTarget(digits_net(), "logits", preprocess=preprocess)
    before = scores_of(single)
    TorchTarget(digits_net(), "logits", preprocess=preprocess, dtype=torch.bfloat16)
    assert preprocess.mean.dtype == torch.float32
    assert np.array_equal(scores_of(single), before)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_a_type_that_is_no_precision_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match="dtype"):
        TorchTarget(digits_net(), "logits", dtype=dtype)


def test_a_module_that_cannot_be_copied_is_not_cast() -> None:
    class Single(nn.Linear):
        def __deepcopy__(self, memo: dict[int, object]) -> Single:
            raise RuntimeError("there is one of me")

    with pytest.raises(InputError, match=r"dtype.*there is one of me"):
        TorchTarget(nn.Sequential(nn.Flatten(), Single(64, 5)), "logits", dtype=torch.float64)


class Prompt(nn.Module):
    """Computes some of its weights from others, which torch's counter of multiplications does not bear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv2d(3, 6, 3), nn.Linear(6, 6)
        self.prompt = nn.Parameter(torch.ones(3, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.conv(x).mean((2, 3)) + self.layer(self.prompt).mean(0)
        return made


def test_a_module_whose_multiplications_cannot_be_counted_is_a_target() -> None:
    own = TorchTarget(Prompt(), "logits")
    images = own.images(random_images(4, (3, 9, 8)))
    own.prepare(images)
    torch.testing.assert_close(own.fast(images), own.raw(images))
