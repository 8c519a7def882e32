"""The weights in the package, whichever are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pinprick.errors import InputError, UnknownNameError
from pinprick.models import shipped as module
from pinprick.models.registry import build_net
from pinprick.models.shipped import load_shipped, shipped
from pinprick.models.weights import Card, save_weights

NAMES = list(shipped())
LARGEST = 4 * 1024 * 1024


@pytest.mark.skipif(not NAMES, reason="no weights in src/pinprick/models/weights yet")
def test_shipped_weights_are_small_half_precision_measured_and_described() -> None:
    for name, path in shipped().items():
        assert path.stat().st_size <= LARGEST, name
        with safe_open(path, framework="pt") as file:
            assert {file.get_slice(tensor).get_dtype() for tensor in file.keys()} == {"F16"}, name  # noqa: SIM118
        net, card = load_shipped(name)
        assert name.startswith(f"{card.net}-")
        with torch.inference_mode():
            assert net(torch.rand(2, *card.shape)).shape == (2, card.classes), name
        facts = card.training or {}
        assert facts["n"] >= 100, name
        assert facts["interval"][0] < facts["accuracy"] < facts["interval"][1], name
        assert 1 / card.classes < facts["accuracy"], name
        assert not re.search(r"[/\\]", facts["data"] + facts["test"]), name
        page = path.with_suffix(".md")
        assert page.exists(), f"no model card beside {path.name}"
        assert f"{facts['accuracy']:.2%}" in page.read_text(encoding="utf-8"), name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder with one file of weights, and files that are none."""
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    for name in ("cnn-digits.md", "cnn-digits.safetensors.part", "note.txt"):
        (tmp_path / name).write_text("")
    card = Card("cnn", 10, (1, 8, 8), (0.3,), (0.4,))
    save_weights(tmp_path / "cnn-digits.safetensors", build_net("cnn", 10, (1, 8, 8)), card)
    return tmp_path


def test_names_are_the_stems_of_safetensors_files(folder: Path) -> None:
    assert shipped() == {"cnn-digits": folder / "cnn-digits.safetensors"}
    net, card = load_shipped("cnn-digits")
    assert (card.net, net.training) == ("cnn", False)


@pytest.mark.parametrize("name", ["cnn-digit", "CNN-digits", "../cnn-digits", "", "cnn-digits.safetensors"])
def test_unknown_names_are_refused_with_the_known_ones(folder: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"shipped weights: there is no .*Known: cnn-digits") as caught:
        load_shipped(name)
    assert ("Did you mean cnn-digits" in str(caught.value)) == bool(name)


def test_vgg16_says_why_it_is_not_shipped_and_how_to_train_it(folder: Path) -> None:
    with pytest.raises(InputError, match=r"not shipped because of its size \(29 MB\)") as caught:
        load_shipped("vgg16-cifar10")
    assert "pinprick train vgg16 --data cifar10:train --test cifar10:test " in str(caught.value)
    assert "--out vgg16-cifar10.safetensors" in str(caught.value)
    card = Card("vgg16", 10, (3, 32, 32), (0.5,), (0.5,))
    save_weights(folder / "vgg16-cifar10.safetensors", build_net("vgg16", 10, (3, 32, 32)), card)
    size = (folder / "vgg16-cifar10.safetensors").stat().st_size
    assert size > LARGEST
    assert round(size / 1e6) == 29
    assert load_shipped("vgg16-cifar10")[1].net == "vgg16"


def test_an_installation_without_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_folder", lambda: tmp_path / "missing")
    assert shipped() == {}
    with pytest.raises(UnknownNameError, match="Known: none in this installation"):
        load_shipped("cnn-digits")


def test_the_folder_is_that_of_the_package() -> None:
    assert module._folder() == Path(module.__file__).parent / "weights"
