"""Stand-ins for timm and torchvision: what pinprick uses of them, with their names, arguments and types.

The packages themselves do not go with every torch; what they do here is written after their own interface (timm 1.0,
torchvision 0.29), on networks of a few weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

CLASSES = ("tench", "goldfish", "crane", "crane", "maillot")
SYNSETS = ("n01440764", "n01443537", "n02012849", "n03126707", "n03710637")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Net(nn.Module):
    """A network with weights of its own, five classes, for RGB images of any size."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4, 5)
        self.num_classes = 5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(images))
        return scores


def module(name: str, **entries: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(entries)
    return made


class Interpolation(Enum):
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class ImageClassification(nn.Module):
    """As torchvision.transforms._presets has it: sizes as lists of one."""

    def __init__(self, *, crop_size: int, resize_size: int = 256, interpolation: Enum = Interpolation.BILINEAR) -> None:
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(MEAN), list(STD)
        self.interpolation, self.antialias = interpolation, True


class Segmentation(nn.Module):
    """Transforms of another task: there is no crop."""

    def __init__(self) -> None:
        super().__init__()
        self.resize_size, self.mean, self.std = [520], list(MEAN), list(STD)


class Entry:
    """What torchvision's Weights are: transforms to be called, and meta."""

    def __init__(self, transforms: Callable[[], nn.Module], **meta: Any) -> None:
        self.transforms, self.meta = transforms, meta


class Weights(Enum):
    """As torchvision's WeightsEnum: DEFAULT is another name of one of them."""

    IMAGENET1K_V1 = Entry(partial(ImageClassification, crop_size=32, resize_size=40), categories=list(CLASSES))
    IMAGENET1K_V2 = Entry(
        partial(ImageClassification, crop_size=24, resize_size=30, interpolation=Interpolation.BICUBIC),
        categories=list(CLASSES),
    )
    DEFAULT = IMAGENET1K_V2

    @property
    def transforms(self) -> Any:
        return self.value.transforms

    @property
    def meta(self) -> Any:
        return self.value.meta


class Other(Enum):
    """Weights for segmentation."""

    DEFAULT = Entry(Segmentation, categories=list(CLASSES))

    @property
    def transforms(self) -> Any:
        return self.value.transforms

    @property
    def meta(self) -> Any:
        return self.value.meta


def torchvision_models(fail: Exception | None = None) -> ModuleType:
    def get_model(name: str, *, weights: Any) -> nn.Module:
        if fail is not None:
            raise fail
        assert isinstance(weights, Weights)
        return Net(seed=1 if weights is Weights.IMAGENET1K_V1 else 2)

    return module(
        "torchvision.models",
        list_models=lambda: ["fcn_resnet50", "resnet18", "resnet50"],
        get_model_weights=lambda name: Other if name == "fcn_resnet50" else Weights,
        get_model=get_model,
    )


class Info:
    """As timm.data.ImageNetInfo."""

    def __init__(self, subset: str = "imagenet-1k") -> None:
        assert subset == "imagenet-5"

    def index_to_label_name(self, index: int) -> str:
        return SYNSETS[index]

    def index_to_description(self, index: int, detailed: bool = False) -> str:
        return CLASSES[index]


def timm(fail: Exception | None = None, **config: Any) -> ModuleType:
    def create_model(name: str, pretrained: bool = False) -> nn.Module:
        if fail is not None:
            raise fail
        assert pretrained
        net = Net()
        if name == "features":
            net.num_classes = 0
        net.pretrained_cfg = {"label_names": ["a", "b", "c", "d", "e"]} if name == "own" else {}  # type: ignore[assignment]
        return net

    found = {
        "input_size": (3, 28, 28),
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 0.875,
        "crop_mode": "center",
    }
    data = module(
        "timm.data",
        resolve_model_data_config=lambda net: found | config,
        infer_imagenet_subset=lambda net: "imagenet-5",
        ImageNetInfo=Info,
    )
    return module("timm", create_model=create_model, data=data)


def install(patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Let these be what is imported by their names."""
    for one in modules:
        patch.setitem(sys.modules, one.__name__, one)
