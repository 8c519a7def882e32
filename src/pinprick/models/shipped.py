"""The weights that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from torch import nn

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.weights import Card, load_net

_NOT_SHIPPED = {
    "vgg16-cifar10": (
        "not shipped because of its size (29 MB)",
        "Train it: pinprick train vgg16 --data cifar10:train --test cifar10:test --out vgg16-cifar10.safetensors",
    ),
}
"""What is asked for by name but too large for a package: what is wrong, and what to do."""


def _folder() -> Path:
    return Path(str(files("pinprick.models") / "weights"))


def shipped() -> dict[str, Path]:
    """Weights in the package by name (``cnn-digits``, ``lenet-mnist``, ``allconv-cifar10`` …), sorted.

    Each is fp16 safetensors with a card in its header and a model card (``.md``) beside it. Empty where the package
    is not unpacked to a folder.
    """
    return {path.stem: path for path in sorted(_folder().glob("*.safetensors"))}


def load_shipped(name: str) -> tuple[nn.Module, Card]:
    """The shipped network ``name``, in single precision and evaluation mode, with its card.

    Raises
    ------
    UnknownNameError : there are no such weights.
    InputError : ``name`` is known but too large to be shipped; the message says how to train it.
    """
    known = shipped()
    if name in known:
        return load_net(known[name])
    if name in _NOT_SHIPPED:
        wrong, right = _NOT_SHIPPED[name]
        raise InputError(f"shipped weights {name!r}", wrong, right)
    raise UnknownNameError("shipped weights", name, known or ["none in this installation"])
