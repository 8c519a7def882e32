"""Torch networks computed by onnxruntime: the same scores, the same bits in any place, and a run keeps to its way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pinprick
from pinprick.errors import InputError
from pinprick.runs.store import read_manifest
from pinprick.targets import torch_target
from pinprick.targets.editing import SMALL
from pinprick.targets.passes import ask
from pinprick.targets.runtime import FEW, ROWS, RuntimeCopy, multiplications
from pinprick.targets.torch_target import TorchTarget

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
SHAPE = (3, 16, 16)


class Residual(nn.Module):
    """A block with batch norm and a sum, as residual networks have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.first(values)))
        return torch.relu(values + self.norms[1](self.second(inner)))


def network(channels: int) -> nn.Module:
    """A network with random weights, its batch norms with statistics of noise."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        Residual(channels),
        nn.AvgPool2d(2),
        Residual(channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 5),
    )
    with torch.no_grad():
        net.train()(torch.rand(32, *SHAPE))
    return net.eval()


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def test_a_large_network_is_computed_by_onnxruntime_with_the_same_bits_in_any_company() -> None:
    target = TorchTarget(network(40), "logits", device="cpu")
    images = target.images(noise(50))
    exact = target.scores(images)
    target.prepare(images)
    assert target.identity()["engine"] == "dense, batch norm folded, onnxruntime"
    assert list(target.versions()) == ["onnxruntime"]
    found = target.scores(images, fast=True)
    np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())
    assert (target.scores(images, fast=False) == exact).all()
    order = np.random.default_rng(0).permutation(50)
    assert (target.scores(images[order], fast=True) == found[order]).all()
    for n in (1, ROWS - 1, ROWS, ROWS + 1):
        assert (target.scores(images[:n], fast=True) == found[:n]).all()


@pytest.mark.parametrize("short", [True, False])
def test_a_short_pass_has_the_same_bits_and_few_rows_of_padding(short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not short:
        # As where shorter passes would have other bits.
        monkeypatch.setattr(RuntimeCopy, "_same_bits", lambda *_: False)
    target = TorchTarget(network(40), "logits", device="cpu")
    images = noise(50)
    target.prepare(target.images(images))
    whole = ask(target, images, 64, fast=True).scores
    given: list[int] = []
    compute = target.fast

    def watched(images: torch.Tensor) -> object:
        given.append(len(images))
        return compute(images)

    monkeypatch.setattr(target, "fast", watched)
    for n in (1, ROWS + 1, 50):
        assert (ask(target, images[-n:], 64, fast=True).scores == whole[-n:]).all()
    assert given == ([FEW, ROWS + FEW, 52] if short else [ROWS, 2 * ROWS, 64])


class OfSixteen(nn.Module):
    """Has the number of images written into it, which its example happens to have."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(40)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(values).reshape(ROWS, 5)
        return answer


def test_a_copy_with_the_number_of_images_written_into_it_takes_no_fewer() -> None:
    images = torch.rand(ROWS, *SHAPE)
    copy = RuntimeCopy(OfSixteen().eval(), images)
    assert copy.piece == ROWS
    torch.testing.assert_close(copy(images[:3]), OfSixteen().eval()(images)[:3], rtol=0, atol=1e-4)
    assert RuntimeCopy(network(40), images).piece == FEW


def test_what_costs_little_stays_in_torch() -> None:
    net = network(8)
    images = torch.rand(4, *SHAPE)
    # 3 -> 8 and two of 8 -> 8 on 256 positions, two on 64, and the classes.
    assert multiplications(net, images) == 256 * 9 * (3 * 8 + 2 * 64) + 64 * 9 * 2 * 64 + 40 < SMALL
    target = TorchTarget(net, "logits", device="cpu")
    target.prepare(images)
    assert target.identity()["engine"] == "dense, batch norm folded, channels last"
    assert target.versions() == {}


class Choosing(nn.Module):
    """Goes one of two ways by what it sees: an example shows only one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.other = network(40), network(40)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.other(values) + 1 if values.max() > 2 else self.net(values)
        return answer


def test_a_network_that_cannot_be_traced_stays_in_torch() -> None:
    target = TorchTarget(Choosing(), "logits", device="cpu")
    target.prepare(target.images(noise(4)))
    assert "onnxruntime" not in target.identity()["engine"]


def test_a_run_goes_on_by_the_way_that_it_was_begun_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TorchTarget(network(40), "logits", device="cpu", shape=SHAPE)
    labels = target.scores(target.images(noise(6))).argmax(axis=1)
    sets = (noise(6), labels)

    def run(out: str, limit: int) -> str:
        pinprick.attack(target, sets, attack="random", budget=20, baseline="none", limit=limit, out=tmp_path / out)
        manifest = read_manifest(tmp_path / out)
        assert manifest is not None
        return str(manifest["passes"]["engine"])

    def missing(*_: object) -> RuntimeCopy:
        raise ImportError("No module named 'onnxruntime'")

    assert "onnxruntime" in run("with", 3)
    with monkeypatch.context() as without:
        without.setattr(torch_target, "RuntimeCopy", missing)
        assert "channels last" in run("without", 3)
        with pytest.raises(InputError, match="the model's engine was 'dense, batch norm folded, onnxruntime'"):
            run("with", 6)
    assert "channels last" in run("without", 6)
    assert len(pinprick.read_outcomes(tmp_path / "without")) == 6
    # What was begun without is no reason for another run to go on so.
    assert "onnxruntime" in run("new", 3)
    assert "onnxruntime" in run("with", 6)
