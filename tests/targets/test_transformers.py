"""hf:FOLDER with transformers itself, on small networks without training that are saved as it saves them."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pinprick.api import attack
from pinprick.data.sets import load_images
from pinprick.data.transform import Preparation
from pinprick.errors import InputError
from pinprick.targets.loading import load_target
from pinprick.targets.torch_target import TorchTarget

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore")]

DAMAGED = [
    {"rescale_factor": "a"}, {"rescale_factor": None}, {"rescale_factor": 1e400}, {"image_std": "x"},
    {"image_mean": 0.5, "image_std": 0.5}, {"image_std": [0.0, 0.0, 0.0]}, {"size": {"shortest_edge": "x"}},
    {"size": -3}, {"size": 0}, {"size": {"height": 10**6, "width": 10**6}}, {"resample": 99}, {"resample": "x"},
    {"do_center_crop": True, "crop_size": {"height": -1, "width": 2}},
    {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0},
    {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": -1e-9},
]  # fmt: skip
NAMES = {0: "ant", 1: "bee, honey bee", 2: "cat"}
PROCESSORS = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2},
    "convnext": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_pct": 0.875,
        "resample": 3,
    },
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
    },
    "mobilevit": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 36},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "do_flip_channel_order": True,
        "do_normalize": False,
        "resample": 2,
    },
}
PREPARED = {
    "vit": Preparation((32, 32), None, "bilinear"),
    "convnext": Preparation(36, (32, 32), "bicubic"),
    "clip": Preparation(40, (32, 32), "bicubic"),
    "mobilevit": Preparation(36, (32, 32), "bilinear"),
}
LEVIT = {"image_processor_type": "LevitImageProcessor"}
OWN = {"do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3]}
SCALE = {"image_std": [0.2, 0.25, 0.3], "rescale_factor": 1 / 255}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[hub]'")


@pytest.fixture(scope="module")
def folder(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet of a few weights with three classes."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=NAMES, num_labels=3
    )
    path = tmp_path_factory.mktemp("hub") / "net"
    transformers.ResNetForImageClassification(config).eval().save_pretrained(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Classes by name, in another order than the model's."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 60, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        path = tmp_path / "photos" / ("Cat", "honey_bee")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def with_processor(folder: Path, kind: str, place: Path) -> Path:
    copied = Path(shutil.copytree(folder, place / kind))
    (copied / "preprocessor_config.json").write_text(json.dumps(OWN | SCALE | PROCESSORS[kind]))
    return copied


def loaded(folder: Path, **options: Any) -> TorchTarget:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = load_target(f"hf:{folder}", device="cpu", **options)
    assert isinstance(target, TorchTarget)
    return target


@pytest.mark.parametrize("kind", PROCESSORS)
def test_scores_are_those_of_transformers_from_the_file_on(
    kind: str, folder: Path, photos: Path, transformers: Any, tmp_path: Path
) -> None:
    place = with_processor(folder, kind, tmp_path)
    target = loaded(place)
    assert target.preparation == PREPARED[kind]
    assert target.notes == (), "its processor does what is done here"
    from pinprick.data.transform import prepared

    images = prepared(load_images(str(photos)), target.preparation)
    found = target.scores(target.images(images.stack()))
    processor = transformers.AutoImageProcessor.from_pretrained(place)
    net = transformers.AutoModelForImageClassification.from_pretrained(place).eval()
    pictures = [Image.open(photos / name) for name in images.names]
    with torch.no_grad():
        theirs = net(**processor(pictures, return_tensors="pt")).logits.numpy()
    assert np.allclose(found, theirs, atol=1e-4)


def test_one_is_attacked_by_its_folder(folder: Path, photos: Path, tmp_path: Path) -> None:
    place = with_processor(folder, "vit", tmp_path)
    said: list[str] = []
    result = attack(
        f"hf:{place}",
        str(photos),
        say=said.append,
        labels="predicted",
        limit=2,
        budget=60,
        baseline="none",
        device="cpu",
    )
    assert (result.rows[0].n, result.rows[0].failed) == (2, 0)
    assert any(line.startswith("note: images are resized to 32 x 32 (bilinear), as") for line in said)
    assert any("go by name" in line for line in said)


def test_what_there_is_not_is_told(folder: Path, transformers: Any, tmp_path: Path) -> None:
    bare = loaded(folder)
    assert bare.preparation is None
    assert any("has no image processor" in note for note in bare.notes)
    assert bare.class_names == tuple(NAMES.values())
    place = Path(shutil.copytree(folder, tmp_path / "pickled"))
    net = transformers.AutoModelForImageClassification.from_pretrained(place)
    (place / "model.safetensors").unlink()
    torch.save(net.state_dict(), place / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"loading it raised OSError.*safetensors"):
        loaded(place)
    assert loaded(place, trust_pickle=True).classes is None
    base = tmp_path / "base"
    net.resnet.save_pretrained(base)
    with pytest.raises(InputError, match="of its weights are missing, first 'classifier"):
        loaded(base)
    code = Path(shutil.copytree(folder, tmp_path / "code"))
    config = json.loads((code / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForImageClassification": "own.Net", "AutoConfig": "own.C"}}
    (code / "config.json").write_text(json.dumps(config))
    (code / "own.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(InputError, match="contains custom code"):
        loaded(code)


def test_a_processor_that_does_something_else_is_told(folder: Path, tmp_path: Path) -> None:
    place = with_processor(folder, "vit", tmp_path)
    path = place / "preprocessor_config.json"
    path.write_text(json.dumps(OWN | SCALE | PROCESSORS["clip"] | LEVIT))
    assert any("does something else to images" in note for note in loaded(place).notes)


@pytest.mark.parametrize("entries", DAMAGED, ids=str)
def test_entries_of_a_processor_that_nothing_can_be_done_with_are_told(
    entries: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    place = with_processor(folder, "vit", tmp_path)
    whole = json.loads((place / "preprocessor_config.json").read_text())
    (place / "preprocessor_config.json").write_text(json.dumps(whole | entries))
    with pytest.raises(InputError, match=r"preprocessor_config|Check the name|standard deviation"):
        loaded(place)
