"""``timm:NAME``: a pretrained network of timm, prepared and normalised as its own configuration says."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from pinprick.data.transform import Preparation
from pinprick.errors import InputError
from pinprick.targets.base import Target
from pinprick.targets.hubs.common import hub_target, loading, package, resampling
from pinprick.targets.loading import Options


def load(model: str, options: Options) -> Target:
    """The target of ``timm:NAME``, a name of ``timm.list_models(pretrained=True)``.

    Raises
    ------
    InputError : timm is not installed, there is no such model, it cannot be loaded, or is no classifier.
    """
    what, name = f"--model {model}", model.removeprefix("timm:")
    timm = package("timm", what, "Install it: pip install timm.")
    with loading(what, trusted=options.trust_pickle):
        net = timm.create_model(name, pretrained=True)
        config: dict[str, Any] = timm.data.resolve_model_data_config(net)
    classes = int(getattr(net, "num_classes", 0) or 0)
    if classes < 2:
        raise InputError(what, f"a network with {classes} classes", "Give a classifier.")
    target = hub_target(
        net,
        options,
        name=model,
        mean=config["mean"],
        std=config["std"],
        channels=int(config["input_size"][0]),
        preparation=_preparation(config, what),
        class_names=_names(timm, net, classes),
    )
    if config.get("crop_mode") == "border":
        target.note(f"warning: {model} pads images at the border, which is not done here; its accuracy may be another")
    return target


def _preparation(config: dict[str, Any], what: str) -> Preparation:
    """As timm's transforms for evaluation: enlarged by the share that is cropped, then cropped."""
    height, width = (int(side) for side in config["input_size"][1:])
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in (height, width))
    square = scaled[0] == scaled[1] and config.get("crop_mode") != "squash"
    resample = resampling(str(config["interpolation"]), what)
    return Preparation(scaled[0] if square else (scaled[0], scaled[1]), (height, width), resample)


def _names(timm: ModuleType, net: Any, classes: int) -> list[str] | None:
    """WordNet's identifier and words of each class, of networks for a known part of ImageNet."""
    own = (getattr(net, "pretrained_cfg", None) or {}).get("label_names")
    if own is not None:
        return [str(name) for name in own] if len(own) == classes else None
    subset = timm.data.infer_imagenet_subset(net)
    if subset is None:
        return None
    info = timm.data.ImageNetInfo(subset)
    return [f"{info.index_to_label_name(index)}, {info.index_to_description(index)}" for index in range(classes)]
