"""timm:NAME and torchvision:NAME, on stand-ins: preparation, normalisation, class names, and what goes wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pinprick.api import attack
from pinprick.data.sets import load_images
from pinprick.data.transform import Preparation
from pinprick.errors import InputError
from pinprick.report.originals import find_originals
from pinprick.targets.hubs.transformers_models import _names, _preparation, _source
from pinprick.targets.loading import load_target
from pinprick.targets.torch_target import TorchTarget
from tests.targets.hub_models import CLASSES, MEAN, STD, SYNSETS, Net, install, module, timm, torchvision_models

QUICK: dict[str, Any] = {"attack": "random", "budget": 6, "limit": 3, "device": "cpu", "baseline": "none"}


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """Two classes of ImageNet by their identifiers, three noisy photos of 60 x 48 each."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 60, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        path = tmp_path / "photos" / SYNSETS[number % 2 * 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return str(tmp_path / "photos")


def torchvision(patch: pytest.MonkeyPatch, fail: Exception | None = None) -> None:
    install(patch, module("torchvision"), torchvision_models(fail))


def loaded(name: str, **options: Any) -> TorchTarget:
    target = load_target(name, device="cpu", **options)
    assert isinstance(target, TorchTarget)
    return target


@pytest.mark.parametrize(
    ("name", "preparation", "seed", "called"),
    [
        ("torchvision:resnet18", Preparation(30, (24, 24), "bicubic"), 2, "resnet18@IMAGENET1K_V2"),
        ("torchvision:resnet18@IMAGENET1K_V1", Preparation(40, (32, 32), "bilinear"), 1, "resnet18@IMAGENET1K_V1"),
    ],
)
def test_torchvision(
    name: str, preparation: Preparation, seed: int, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision(monkeypatch)
    target = loaded(name)
    assert (target.preparation, target.class_names, target.name) == (preparation, CLASSES, called)
    images = torch.rand(3, 3, 24, 24)
    shifted = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(target.raw(images), Net(seed).eval()(shifted), atol=1e-5)
    assert target.outputs == "logits"


@pytest.mark.parametrize(
    ("config", "preparation"),
    [
        ({}, Preparation(32, (28, 28), "bicubic")),
        ({"crop_pct": 1.0, "interpolation": "bilinear"}, Preparation(28, (28, 28), "bilinear")),
        ({"crop_mode": "squash", "crop_pct": 0.95}, Preparation((29, 29), (28, 28), "bicubic")),
    ],
)
def test_timm(config: dict[str, Any], preparation: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, timm(**config))
    target = loaded("timm:resnet18.a1_in1k")
    assert target.preparation == preparation
    assert target.class_names is not None
    assert target.class_names[0] == "n01440764, tench"
    assert loaded("timm:own").class_names == ("a", "b", "c", "d", "e")


def test_the_model_s_own_preparation_is_done_to_the_set_and_kept(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, timm())
    said: list[str] = []
    out = tmp_path / "run"
    options = QUICK | {"labels": "predicted"}
    result = attack("timm:resnet18", photos, say=said.append, out=out, **options)
    told = (
        "note: images are resized to 32 pixels of the short side (bicubic) and cropped to 28 x 28, as timm:resnet18 "
        "has it; --resize or --crop say otherwise"
    )
    assert told in said
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["preparation"] == {"resize": 32, "crop": [28, 28], "resample": "bicubic"}
    assert manifest["data"]["shape"] == [3, 28, 28]
    row = result.table.to_pylist()[0]
    originals = find_originals(out, manifest)
    assert originals.get(row["image"], row["image_digest"]) is not None, "the report finds them again"
    assert attack("timm:resnet18", photos, out=out, **options).table.equals(result.table)
    with pytest.raises(InputError, match="the images' fingerprint"):
        attack("timm:resnet18", photos, out=out, resize=40, crop=28, **options)


def test_what_is_asked_for_goes_before_it(photos: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, timm())
    said: list[str] = []
    attack("timm:resnet18", photos, say=said.append, crop=20, labels="predicted", **QUICK)
    assert not any("resized" in line for line in said)
    plain = loaded("timm:resnet18", normalize="none", order="bgr")
    assert plain.preprocess is not None
    assert (plain.preprocess.mean.flatten().tolist(), plain.preprocess.order) == ([0.0], "bgr")


def test_classes_go_by_name(photos: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, timm())
    said: list[str] = []
    result = attack("timm:resnet18", photos, say=said.append, **QUICK | {"limit": 1})
    assert any(line.startswith("note: the classes of") for line in said)
    # The second folder is class 1 of the set and class 3 of the model.
    assert set(result.table["label"].to_pylist()) <= {0, 3}
    torchvision(monkeypatch)
    said.clear()
    attack("torchvision:resnet18", photos, say=said.append, **QUICK | {"limit": 1})
    assert any("warning: class 'n01440764' is none of the classes of resnet18@" in line for line in said)


def test_gray_images_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, timm())
    with pytest.raises(InputError, match="gray images, and timm:resnet18 takes RGB ones"):
        attack("timm:resnet18", "digits:test", **QUICK)


@pytest.mark.parametrize(
    ("name", "modules", "message"),
    [
        ("timm:x", {"timm": None}, "timm is not installed. Install it: pip install timm"),
        ("torchvision:x", {"torchvision": None}, "torchvision is not installed"),
        (
            "hf:a/b",
            {"transformers": None},
            r"transformers is not installed\. Install it: pip install 'pinprick\[hub\]'",
        ),
        ("timm:features", {"timm": timm()}, "a network with 0 classes"),
        ("timm:x", {"timm": timm(RuntimeError("Unknown model (x)"))}, r"loading it raised RuntimeError: Unknown model"),
        ("timm:x", {"timm": timm(OSError("No connection. Look."))}, r"OSError: No connection\. Look\. Check the name"),
        ("timm:x", {"timm": timm(interpolation="random")}, "its images are resized by 'random'"),
        ("torchvision:resnet19", {}, "there is no 'resnet19'.*Did you mean resnet18"),
        ("torchvision:resnet18@V3", {}, "there is no 'V3'.*IMAGENET1K_V1"),
        ("torchvision:fcn_resnet50", {}, "no classifier of images"),
    ],
)
def test_what_goes_wrong_is_told(
    name: str, modules: dict[str, ModuleType | None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision(monkeypatch)
    for one, made in modules.items():
        monkeypatch.setitem(sys.modules, one, made)
    with pytest.raises(InputError, match=message):
        load_target(name)
    if name == "torchvision:resnet19":
        with pytest.raises(InputError, match="--layout"):
            load_target("torchvision:resnet18", layout="nhwc")


def test_a_package_for_another_torch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"timm cannot be imported \(RuntimeError: operator.*goes with this torch"):
        load_target("timm:x")


def test_a_border_that_is_not_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, timm(crop_mode="border"))
    assert any("pads images at the border" in note for note in loaded("timm:x").notes)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_that_a_package_reads_run_nothing_without_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, path = tmp_path / "ran", tmp_path / "w.pth"
    torch.save(Trap(mark), path)
    made = torchvision_models()

    def get_model(name: str, *, weights: Any) -> Any:
        # As torch.hub.load_state_dict_from_url does, which torchvision calls.
        torch.load(path, weights_only=False)
        return Net()

    made.get_model = get_model  # type: ignore[attr-defined]
    install(monkeypatch, module("torchvision"), made)
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    with pytest.raises(InputError, match=r"loading it raised UnpicklingError|weights_only"):
        load_target("torchvision:resnet18")
    assert not mark.exists()
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "0", "what the user has set is left as it was"
    load_target("torchvision:resnet18", trust_pickle=True, device="cpu")
    assert mark.exists()


@pytest.mark.parametrize(
    ("entries", "preparation"),
    [
        ({}, None),
        ({"do_resize": False, "size": {"height": 8, "width": 8}}, None),
        (
            {"do_resize": True, "size": {"height": 20, "width": 30}, "resample": 2},
            Preparation((20, 30), None, "bilinear"),
        ),
        (
            {
                "do_resize": True,
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "resample": 3,
            },
            Preparation(256, (224, 224), "bicubic"),
        ),
        (
            {"do_resize": True, "size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3},
            Preparation(256, (224, 224), "bicubic"),
        ),
        (
            {"do_resize": True, "size": {"shortest_edge": 384}, "crop_pct": 0.875, "resample": 1},
            Preparation((384, 384), None, "lanczos"),
        ),
    ],
)
def test_how_a_processor_prepares_images(entries: dict[str, Any], preparation: Preparation | None) -> None:
    assert _preparation(entries) == preparation


def test_class_names_of_a_configuration() -> None:
    def named(**names: Any) -> Any:
        return type("Config", (), {"id2label": {int(key[1:]): value for key, value in names.items()}})()

    assert _names(named(_0="cat", _1="dog")) == ["cat", "dog"]
    assert _names(named(_0="LABEL_0", _1="LABEL_1")) is None
    assert _names(named(_1="cat", _2="dog")) is None


def test_where_a_model_is(tmp_path: Path) -> None:
    assert _source("owner/name@main", "x") == ("owner/name", "main")
    assert _source("owner/name", "x") == ("owner/name", None)
    assert _source(str(tmp_path), "x") == (str(tmp_path), None)
    for text in ("", "./nowhere", "/nowhere/at/all", "a/b/c"):
        with pytest.raises(InputError, match="there is no folder"):
            _source(text, "x")


def test_what_is_prepared_is_what_pillow_makes_of_it(photos: str) -> None:
    from pinprick.data.transform import prepared

    images = load_images(photos)
    image = Image.fromarray(images.image(0).transpose(1, 2, 0))
    wide = prepared(images, Preparation((20, 30), None, "bilinear"))
    expected = np.asarray(image.resize((30, 20), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(wide.image(0), expected)
    cut = prepared(images, Preparation(24, (24, 16), "lanczos"))
    expected = np.asarray(image.resize((30, 24), Image.Resampling.LANCZOS)).transpose(2, 0, 1)[:, :, 7:23]
    assert np.array_equal(cut.image(0), expected)
    assert len({images.fingerprint, wide.fingerprint, cut.fingerprint}) == 3
    assert prepared(images, Preparation()) is images
    for how in (Preparation((20, 30), None, "box"), Preparation(24, (24, 16)), Preparation()):
        assert Preparation.of(json.loads(json.dumps(how.as_dict()))) == how
    with pytest.raises(InputError, match="a crop of 50 x 10"):
        prepared(images, Preparation(None, (50, 10))).image(0)
