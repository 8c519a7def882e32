"""Trained networks give the same verdicts on windows as densely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.data.sets import load_images
from pinprick.edits import Edits
from pinprick.incremental.engine import Incremental
from pinprick.models.preprocessing import Preprocess
from pinprick.models.shipped import load_shipped
from pinprick.models.weights import load_net
from tests.conftest import random_images
from tests.incremental.nets import Shape, on_windows, random_edits

SHARED = Path(__file__).parents[3] / "shared"
SQUEEZENET = SHARED / "models" / "squeezenet-imagenet.safetensors"
DATA, CIFAR = SHARED / "data", "cifar10-test-exact.parquet"
NETS = ["allconv-cifar10", "nin-cifar10", "resnet32-cifar10", "squeezenet"]
TIE = 1e-5


def trained(name: str) -> tuple[nn.Module, Shape]:
    """A trained network, its preprocessing inside, and the shape of its images."""
    if name == "squeezenet":
        if not SQUEEZENET.is_file():
            pytest.skip("needs SqueezeNet's weights in ../shared/models")
        net, card = load_net(SQUEEZENET, "squeezenet")
    else:
        net, card = load_shipped(name)
    return nn.Sequential(Preprocess(card.mean, card.std, card.order), net).eval(), card.shape


def odd(engine: Incremental, edits: Edits, images: np.ndarray) -> tuple[int, int]:
    """Verdicts that differ from the dense ones: those that are no tie, and those that are."""
    handles = engine.base(images)[np.arange(len(edits)) % len(images)]
    wrong = ties = 0
    for start in range(0, len(edits), 512):
        part = slice(start, start + 512)
        found, exact = engine.scores(handles[part], edits.take(part)), engine.dense(handles[part], edits.take(part))
        assert float((found - exact).abs().max() / exact.abs().max()) < 1e-4
        best = exact.topk(2).values
        tied = (best[:, 0] - best[:, 1]) <= TIE * exact.abs().amax(1)
        differs = found.argmax(1) != exact.argmax(1)
        wrong, ties = wrong + int((differs & ~tied).sum()), ties + int((differs & tied).sum())
    return wrong, ties


def pictures(shape: Shape, n: int) -> np.ndarray:
    """``n`` real images of a shape where there are some, else noise."""
    path, crop = (DATA / "imagenet-sample.parquet", shape[1]) if shape[1] > 32 else (DATA / CIFAR, None)
    if not path.is_file():
        return random_images(n, shape)
    images = load_images(str(path), crop=crop)
    return np.stack([images.image(number) for number in range(n)])


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pixels", [1, 3])
def test_verdicts_of_trained_networks_are_those_of_the_dense_ones(name: str, pixels: int) -> None:
    """2 000 in all."""
    net, shape = trained(name)
    n = 300 if shape[1] == 32 else 100
    wrong, _ = odd(on_windows(net, shape, share=0.7), random_edits(shape, n, pixels, 0), pictures(shape, 5))
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pixels", [1, 5])
def test_thousands_of_verdicts_are_those_of_the_dense_ones(
    name: str, pixels: int, record_property: Callable[[str, object], None]
) -> None:
    """100 000 in all."""
    net, shape = trained(name)
    n = 20_000 if pixels == 1 else 5_000
    engine = Incremental(net, shape)
    if engine.plan(pixels).dense:
        engine = on_windows(net, shape, share=0.5)
    wrong, ties = odd(engine, random_edits(shape, n, pixels, 0), pictures(shape, 20))
    record_property("ties", ties)
    assert wrong == 0
    assert ties <= n // 1000


def test_windows_are_carried_where_they_pay_and_only_there() -> None:
    paid = {
        name: Incremental(*trained(name)).plan(1) for name in ("allconv-cifar10", "nin-cifar10", "resnet32-cifar10")
    }
    assert [plan.dense for plan in paid.values()] == [False, False, True]
    allconv = paid["allconv-cifar10"].multiplications
    # The study's limit for one pixel of this network: 13.0 times fewer multiplications.
    assert 12.5 < allconv[2] / (allconv[0] + allconv[1]) < 13.5


def test_the_plan_follows_from_network_and_pixels_alone() -> None:
    first, second = (Incremental(*trained("allconv-cifar10")) for _ in range(2))
    second.plan(5)
    assert first.plan(1) == second.plan(1)
    assert first.plan(5) == second.plan(5)
    shares = [first.plan(pixels).share for pixels in (1, 3, 5, 25)]
    assert shares == sorted(shares)


def test_several_base_images_and_numbers_of_pixels_in_one_call() -> None:
    net, shape = trained("allconv-cifar10")
    engine = Incremental(net, shape)
    handles = engine.base(random_images(3, shape))
    edits = random_edits(shape, 20, 5, 1)
    assert edits.count is not None
    assert len(set(edits.count.tolist())) > 2
    bases = handles[np.arange(20) % 3]
    found = engine.scores(bases, edits)
    torch.testing.assert_close(found, engine.dense(bases, edits), rtol=0, atol=1e-4)
    for place in range(0, 20, 7):
        assert torch.equal(engine.scores(bases[[place]], edits.take([place]))[0], found[place])
