"""What a network does to pixel values before its first layer: it lives inside the target, never in the data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import nn

from pinprick.errors import InputError, UnknownNameError

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "half": ((0.5,), (0.5,)),
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation a channel, of images in [0, 1], by their usual names. ``half`` gives values from -1 to 1,
``caffe`` 0 to 255 less the means of ImageNet, which goes with the order BGR."""
_NUMBER = r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")


def parse_normalisation(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A name from :data:`NORMALISATIONS`, a range (``"0..255"``: what black and white become), or numbers:
    ``"0.49,0.48,0.45/0.25,0.24,0.26"`` (mean/std, RGB order).

    Raises
    ------
    UnknownNameError : no numbers, no range and no known name.
    InputError : numbers that do not parse or are not finite, a standard deviation of 0 or below, more of one than of
        the other.
    """
    if given := _RANGE.fullmatch(text):
        black, white = float(given[1]), float(given[2])
        if black >= white:
            raise InputError("--normalize", f"a range from {given[1]} to {given[2]}", "Write for instance 0..255.")
        return (0.0 - black / (white - black),), (1 / (white - black),)
    if "/" not in text:
        if text not in NORMALISATIONS:
            raise UnknownNameError("--normalize", text, (*NORMALISATIONS, "0..255"))
        return NORMALISATIONS[text]
    try:
        mean, std = (tuple(float(part) for part in half.split(",")) for half in text.split("/"))
    except ValueError:
        raise InputError(
            "--normalize", f"{text!r} is not mean/std", "Write for instance 0.49,0.48,0.45/0.25,0.24,0.26."
        ) from None
    if len(mean) != len(std) or min(std) <= 0 or not all(isfinite(value) for value in mean + std):
        raise InputError(
            "--normalize",
            f"{len(mean)} means and {len(std)} standard deviations, the smallest {min(std)}",
            "Give as many of one as of the other, all finite, every standard deviation above 0.",
        )
    return mean, std


class Preprocess(nn.Module):
    """Channel order, then ``(x - mean) / std``; images come in as RGB (or gray) in [0, 1].

    Parameters
    ----------
    mean, std : a value a channel, in the order of the images as they come in (RGB); one value serves all channels.
    order : ``"rgb"`` or ``"bgr"``, the order the network was trained with.

    Raises
    ------
    UnknownNameError : ``order`` is neither.
    InputError : no means, not as many standard deviations, or one of 0 or below.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], order: str = "rgb") -> None:
        super().__init__()
        if order not in ("rgb", "bgr"):
            raise UnknownNameError("channel order", order, ("rgb", "bgr"))
        if len(mean) == 0 or len(mean) != len(std) or not min(std) > 0:
            raise InputError(
                "preprocessing",
                f"{len(mean)} means and {len(std)} standard deviations, all should be above 0",
                "Give as many of one as of the other, every standard deviation above 0.",
            )
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std)).view(1, -1, 1, 1), persistent=False)
        self.order = order

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = self.mean.shape[1]
        # What torch.fx traces with has no shape to look at.
        if isinstance(images, torch.Tensor) and means not in (1, images.shape[1]):
            # Gray images would silently be spread over three channels.
            raise InputError(
                "--normalize", f"{means} means for images of {images.shape[1]} channels", "Give one a channel, or one."
            )
        images = (images - self.mean) / self.std
        return images.flip(1) if self.order == "bgr" else images

    def described(self) -> dict[str, Any]:
        """What a run's identity holds of it."""
        return {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist(), "order": self.order}
