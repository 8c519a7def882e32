"""``torchvision:NAME`` and ``torchvision:NAME@WEIGHTS``: a pretrained network of torchvision, with its transforms."""

from __future__ import annotations

from typing import Any

from pinprick.data.transform import Preparation
from pinprick.errors import InputError, UnknownNameError
from pinprick.targets.base import Target
from pinprick.targets.hubs.common import hub_target, loading, package, resampling
from pinprick.targets.loading import Options


def load(model: str, options: Options) -> Target:
    """The target of ``torchvision:NAME``, with the weights ``DEFAULT`` or those named behind ``@``.

    Raises
    ------
    InputError : torchvision is not installed or does not go with this torch; there is no such network or no such
        weights; they cannot be loaded; it is no classifier.
    """
    what = f"--model {model}"
    name, at, chosen = model.removeprefix("torchvision:").partition("@")
    package("torchvision", what, "Install the torchvision that goes with this torch: pip install torchvision.")
    models: Any = package("torchvision.models", what, "Install torchvision anew.")
    known = models.list_models()
    if name not in known:
        raise UnknownNameError(what, name, known)
    every = models.get_model_weights(name)
    if at and chosen not in every.__members__:
        raise UnknownNameError(what, chosen, every.__members__)
    weights = every[chosen or "DEFAULT"]
    own = weights.transforms()
    sizes = [getattr(own, part, None) for part in ("resize_size", "crop_size", "mean", "std")]
    names = weights.meta.get("categories")
    if any(part is None for part in sizes) or len(sizes[1] or ()) != 1 or names is None:
        raise InputError(what, "no classifier of images", "Give one, such as torchvision:resnet18.")
    with loading(what, trusted=options.trust_pickle):
        net = models.get_model(name, weights=weights)
    resize, crop = int(own.resize_size[0]), int(own.crop_size[0])
    return hub_target(
        net,
        options,
        name=f"{name}@{weights.name}",
        mean=own.mean,
        std=own.std,
        channels=3,
        preparation=Preparation(resize, (crop, crop), resampling(str(own.interpolation.value), what)),
        class_names=names,
    )
