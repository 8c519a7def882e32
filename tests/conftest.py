"""Small real networks and images that many tests share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.goals import Goal
from pinprick.models.preprocessing import Preprocess
from pinprick.models.registry import build_net
from pinprick.streams import image_digest, unit_seed
from pinprick.targets.torch_target import TorchTarget
from pinprick.units import Unit


@lru_cache
def digits_net() -> nn.Module:
    """A net of one convolution, trained on digits for a second or two; about 95 % right, and easy to fool."""
    images = digits("train")
    # The first to ask may do so from within a pass, without gradients.
    with torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 16, 10)
        )
        pixels = torch.from_numpy(images.stack()).float().div(255)
        labels = torch.from_numpy(np.asarray(images.labels))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(pixels), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return net.eval()


def digits_target() -> TorchTarget:
    """A fresh target around :func:`digits_net`."""
    return TorchTarget(digits_net(), "logits", name="digits-net", classes=10)


@pytest.fixture
def target() -> TorchTarget:
    """A small trained classifier of digits."""
    return digits_target()


@pytest.fixture(scope="session")
def test_digits() -> ImageSet:
    """The digits that the net was not trained on."""
    return digits("test")


def colour_target(seed: int = 0, shape: tuple[int, int, int] = (3, 9, 12)) -> TorchTarget:
    """An untrained colour net with batch norm for odd shapes, normalised inside the target."""
    torch.manual_seed(seed)
    net = build_net("cnn", 5, shape)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                layer.running_mean.normal_(0, 0.1)
    return TorchTarget(net, "logits", preprocess=Preprocess((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)), classes=5)


def random_images(n: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Uniform noise as 8-bit images."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def make_unit(
    target: TorchTarget,
    image: NDArray[np.uint8],
    *,
    name: str = "image",
    label: int | None = None,
    goal: Goal | None = None,
    pixels: int = 1,
    attack: str = "one-pixel",
    seed: int = 0,
) -> Unit:
    """A unit for one image; its label is the prediction unless it is given."""
    scores = target.scores(target.images(np.repeat(image[None], 64, axis=0)))[0]
    label = int(scores.argmax()) if label is None else label
    goal = goal or Goal()
    digest = image_digest(image)
    return Unit(
        image=image,
        image_name=name,
        image_digest=digest,
        label=label,
        goal=goal,
        attack=attack,
        pixels=pixels,
        seed=unit_seed(seed, digest, label, str(goal), attack, {}, pixels),
        scores=scores,
    )
