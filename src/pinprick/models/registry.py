"""Networks by name, each with the recipe that `pinprick train` uses for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.allconv import allconv
from pinprick.models.blocks import Shape
from pinprick.models.cnn import cnn
from pinprick.models.fully_connected import fully_connected
from pinprick.models.lenet import lenet
from pinprick.models.nin import nin
from pinprick.models.resnet32 import resnet32
from pinprick.models.squeezenet import squeezenet
from pinprick.models.vgg16 import vgg16


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum 0.9 on a one-cycle schedule.

    ``learning_rate`` is the peak; ``bf16`` says whether autocast pays for this network where the machine has it.
    """

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    bf16: bool = True


@dataclass(frozen=True)
class NetSpec:
    """A network by name: how to build it, how to train it, and what images its usual weights take."""

    build: Callable[[int, Shape], nn.Module]
    recipe: Recipe
    smallest: int = 8
    """Smallest height and width it takes, in pixels."""
    shape: Shape | None = None
    classes: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"
    """Shape, classes and preprocessing of weights that do not state their own."""


NETS: dict[str, NetSpec] = {
    "allconv": NetSpec(allconv, Recipe(epochs=8)),
    "nin": NetSpec(nin, Recipe(epochs=7)),
    "vgg16": NetSpec(vgg16, Recipe(epochs=6), smallest=16),
    "resnet32": NetSpec(resnet32, Recipe(epochs=9, learning_rate=0.2)),
    "lenet": NetSpec(lenet, Recipe(epochs=8, learning_rate=0.02, bf16=False), smallest=16),
    "cnn": NetSpec(cnn, Recipe(epochs=20, batch=64, learning_rate=0.1, bf16=False), smallest=4),
    "squeezenet": NetSpec(
        squeezenet,
        Recipe(learning_rate=0.04),
        smallest=32,
        shape=(3, 227, 227),
        classes=1000,
        # Caffe: 0 .. 255 minus (104, 117, 123) in BGR order, no scaling.
        mean=(123 / 255, 117 / 255, 104 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        order="bgr",
    ),
}

_FC = re.compile(r"fc(?:-[0-9]+)*")
_WIDEST = 65536


def net_names() -> list[str]:
    """Names that :func:`net_spec` knows, the family of fully connected nets as ``fc-W-W``."""
    return [*NETS, "fc-100-100"]


def net_spec(name: str) -> NetSpec:
    """The network called ``name``; ``fc`` is a linear classifier, ``fc-100-100`` has two hidden layers of 100.

    Raises
    ------
    UnknownNameError : there is no such network.
    InputError : a hidden layer of width 0 or above 65 536.
    """
    if name in NETS:
        return NETS[name]
    if _FC.fullmatch(name):
        widths = [int(width) for width in name.split("-")[1:]]
        if bad := [width for width in widths if not 1 <= width <= _WIDEST]:
            raise InputError(
                f"network {name!r}", f"a hidden layer of width {bad[0]}", f"Give widths of 1 to {_WIDEST}."
            )
        return NetSpec(
            lambda classes, shape: fully_connected(classes, shape, widths),
            Recipe(learning_rate=0.02, weight_decay=1e-4, bf16=False),
            smallest=1,
        )
    raise UnknownNameError("network", name, net_names())


def build_net(name: str, classes: int, shape: Shape) -> nn.Module:
    """A freshly initialised network, its weights drawn from torch's global generator.

    Parameters
    ----------
    name : a name that :func:`net_spec` knows.
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images, in pixels.

    Returns
    -------
    A module from images ``(N, C, H, W)``, already normalised, to logits ``(N, classes)``.

    Raises
    ------
    UnknownNameError : there is no such network.
    InputError : fewer than two classes, no channels, or images smaller than the network takes.
    """
    spec = net_spec(name)
    if classes < 2:
        raise InputError(f"network {name!r}", f"{classes} classes", "A classifier needs two or more.")
    if shape[0] < 1:
        raise InputError(f"network {name!r}", f"images of {shape[0]} channels", "Give 1 (gray) or 3 (RGB).")
    if min(shape[1:]) < spec.smallest:
        raise InputError(
            f"network {name!r}",
            f"images of {shape[1]} x {shape[2]} pixels",
            f"It takes {spec.smallest} x {spec.smallest} or larger.",
        )
    return spec.build(classes, shape)
