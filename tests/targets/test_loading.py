"""Targets by name: which options reach them, and which are refused since they could not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.errors import InputError
from pinprick.models.registry import build_net
from pinprick.models.weights import Card, save_weights
from pinprick.runs.ready import load_spec_target
from pinprick.runs.spec import make_spec
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.loading import as_target, load_target
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import random_images

SHAPE = (3, 8, 8)
FACTORY = """
import torch
from torch import nn
from pinprick import CallableTarget, TorchTarget

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))

def target():
    return TorchTarget(net(), "logits", device="cpu")

def function():
    return lambda images: images.flatten(1)[:, :4]
"""


def weights(folder: Path, order: str) -> Path:
    """A weights file whose card states the order of the channels."""
    torch.manual_seed(0)
    path = folder / f"{order}.safetensors"
    card = Card("fc", 4, SHAPE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), order=order)
    save_weights(path, build_net("fc", 4, SHAPE), card)
    return path


@pytest.fixture
def factory(tmp_path: Path) -> str:
    """A user's model file."""
    (tmp_path / "model.py").write_text(FACTORY)
    return str(tmp_path / "model.py")


def scores(target: Any) -> Any:
    return target.scores(target.images(random_images(4, SHAPE)))


@pytest.mark.parametrize("stated", ["rgb", "bgr"])
def test_the_order_of_the_channels_is_that_of_the_weights_unless_it_is_given(tmp_path: Path, stated: str) -> None:
    path = weights(tmp_path, stated)
    by_order = {order: scores(load_target(str(path), order=order)) for order in ("rgb", "bgr", None)}
    assert np.array_equal(by_order[None], by_order[stated])
    assert not np.allclose(by_order["rgb"], by_order["bgr"])
    named = load_target(f"fc:{path}", order="bgr")
    assert np.array_equal(scores(named), by_order["bgr"])


@pytest.mark.parametrize("given", [{}, {"channel_order": "rgb"}, {"channel_order": "bgr"}])
def test_a_run_gives_the_order_on_where_it_is_asked_for_one(tmp_path: Path, given: dict[str, str]) -> None:
    path = weights(tmp_path, "bgr")
    target = load_spec_target(make_spec({"model": str(path), "data": "digits:test"} | given))
    assert isinstance(target, TorchTarget)
    assert target.preprocess is not None
    assert target.preprocess.order == given.get("channel_order", "bgr")


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="grb"):
        load_target(str(weights(tmp_path, "rgb")), order="grb")


def test_a_module_from_a_factory_is_given_what_it_is_asked_for(factory: str) -> None:
    target = load_target(f"{factory}:net", normalize="imagenet", order="bgr", device="cpu")
    assert isinstance(target, TorchTarget)
    assert target.preprocess is not None
    assert target.preprocess.order == "bgr"
    assert target.preprocess.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize("kind", ["target", "function"])
@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"normalize": "imagenet"}, "--normalize"),
        ({"normalize": "none"}, "--normalize"),
        ({"order": "bgr"}, "--channel-order"),
        ({"device": "meta"}, "--device"),
    ],
)
def test_what_cannot_reach_inside_a_target_or_a_function_is_refused(
    factory: str, kind: str, given: dict[str, str], option: str
) -> None:
    with pytest.raises(InputError, match=f"{option}: .*inside"):
        load_target(f"{factory}:{kind}", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["target", "function"])
def test_what_a_target_or_a_function_does_anyway_may_be_said(factory: str, kind: str) -> None:
    assert np.isfinite(scores(load_target(f"{factory}:{kind}", device="cpu", order="rgb", outputs="logits"))).all()


@pytest.mark.parametrize("name", ["x.toml", "x.pt", "x.joblib", "x.pt2", "x.safetensors", "lenet:x.pt"])
def test_a_pipe_or_a_device_is_not_waited_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(name.rpartition(":")[2])
    for trusted in (False, True) if name.endswith(("pt", "joblib", "pt2")) else (False,):
        with pytest.raises(InputError, match="a pipe or a device"):
            load_target(name, trust_pickle=trusted)


@pytest.mark.parametrize("scheme", ["HTTP", "Https", "ftp", " http", "s3"])
def test_an_address_of_any_scheme_is_known_for_one_and_no_password_in_it_is_shown(scheme: str) -> None:
    with pytest.raises(InputError, match=r"--model: the address of h has a user or password") as error:
        load_target(f"{scheme}://me:abc@h/v2/models/x", outputs="logits")
    assert "abc" not in str(error.value)


def test_a_target_that_is_ready_comes_back_as_it_is() -> None:
    ready = TorchTarget(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "logits", device="cpu")
    assert as_target(ready) is ready
    assert as_target(ready, device="cpu") is ready
    own = CallableTarget(lambda images: images.flatten(1), "logits")
    assert as_target(own, device="cpu") is own
    with pytest.raises(InputError, match="--device"):
        as_target(own, device="nonsense")
