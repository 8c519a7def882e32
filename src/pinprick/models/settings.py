"""What a training is given, its images and its settings, and the checks of both before any time is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.augmentation import AUGMENTATIONS
from pinprick.models.blocks import Shape
from pinprick.models.registry import Recipe, net_spec

PRECISIONS = ("auto", "fp32", "bf16")
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels, and where they came from.

    Parameters
    ----------
    images : ``(N, C, H, W)`` uint8, 0 .. 255.
    labels : ``(N,)`` class indices, from 0 up.
    name : what the set is called; folders are left out of cards.
    fingerprint : digest of the source; a checkpoint is continued only with an equal one.
    class_names : a name a class, or None.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    name: str
    fingerprint: str
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights that come out.

    Parameters
    ----------
    net : a name that :func:`pinprick.models.registry.net_spec` knows.
    recipe : epochs, batch, learning rate and weight decay.
    classes : number of classes, 2 or more.
    shape : channels, height and width of the images.
    seed : 0 .. 2**32 - 1, of initialisation, order and augmentation.
    augment, precision : of :data:`AUGMENTATIONS` and :data:`PRECISIONS`.
    """

    net: str
    recipe: Recipe
    classes: int
    shape: Shape
    seed: int = 0
    augment: str = "auto"
    precision: str = "auto"

    def resolved(self, device: str = "cpu") -> Settings:
        """``auto`` replaced: crop and flip for RGB, shifts for gray of 16 pixels and more; bf16 where it helps.

        bf16 helps the larger convolutional nets on CUDA and on processors with AVX-512 BF16 or AMX; elsewhere it is
        emulated and slower.

        Raises
        ------
        InputError : a value out of range, an unknown augmentation or precision.
        """
        self._check()
        augment, precision = self.augment, self.precision
        if augment == "auto":
            gray = "shift" if min(self.shape[1:]) >= 16 else "none"
            augment = "crop-flip" if self.shape[0] == 3 else gray
        if precision == "auto":
            fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else _cpu_has_bf16()
            precision = "bf16" if self.recipe.bf16 and fast else "fp32"
        return replace(self, augment=augment, precision=precision)

    def _check(self) -> None:
        recipe = self.recipe
        if self.augment not in AUGMENTATIONS:
            raise UnknownNameError("augmentation", self.augment, AUGMENTATIONS)
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        if not 0 <= self.seed <= LARGEST_SEED:
            raise InputError("seed", f"it is {self.seed}", f"Give a whole number from 0 to {LARGEST_SEED}.")
        if recipe.epochs < 1 or recipe.batch < 1:
            raise InputError("recipe", f"{recipe.epochs} epochs, {recipe.batch} images a step", "Give 1 or more.")
        check_learning_rate("learning rate", recipe.learning_rate)


def check_learning_rate(what: str, value: float) -> None:
    """Raise :class:`InputError` on behalf of ``what`` where ``value`` is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(what, f"it is {value}", "Give a number above 0, for instance 0.1.")


def check_device(device: str) -> None:
    """Raise :class:`InputError` where this machine has no such ``device`` (``cpu``, ``cuda``, ``cuda:0`` …)."""
    what, cpu = f"device {device!r}", "Use cpu."
    try:
        parsed = torch.device(device)
    except RuntimeError:
        raise InputError(what, "torch knows no such device", "Use cpu, cuda, cuda:0 and so on.") from None
    if parsed.type not in ("cpu", "cuda"):
        raise InputError(what, "training runs on cpu and cuda only", cpu)
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise InputError(what, f"this machine has {torch.cuda.device_count()} CUDA devices that torch can use", cpu)


def check_images(what: str, data: LabelledImages, classes: int, shape: Shape) -> None:
    """Whether ``data`` can be put to a network of ``classes`` classes and images of ``shape``.

    Raises
    ------
    InputError : on behalf of ``what``: no images, not uint8 ``(N, C, H, W)``, another shape, not one label an image,
        labels outside 0 .. ``classes`` - 1, or another number of class names.
    """
    images, labels = data.images, data.labels
    if images.ndim != 4 or images.dtype != np.uint8:
        raise InputError(what, f"an array of {images.dtype} and shape {images.shape}", "Give (N, C, H, W) uint8.")
    if len(images) == 0:
        raise InputError(what, "no images", "Give at least one.")
    if images.shape[1:] != tuple(shape):
        theirs, ours = (" x ".join(map(str, sizes)) for sizes in (images.shape[1:], shape))
        raise InputError(what, f"images of {theirs} where the network takes {ours}", "Give images of that shape.")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise InputError(
            what,
            f"{len(images)} images with labels of shape {labels.shape} and type {labels.dtype}",
            "Give one class index (integer) an image.",
        )
    if data.class_names and len(data.class_names) != classes:
        raise InputError(
            what, f"{len(data.class_names)} class names where there are {classes} classes", "Give images of one task."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        bad = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise InputError(what, f"a label of {bad} where there are {classes} classes", f"Labels are 0 .. {classes - 1}.")


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def default_recipe(net: str) -> Recipe:
    """The recipe that :mod:`pinprick.models.registry` keeps for ``net``.

    Raises
    ------
    UnknownNameError : there is no such network.
    """
    return net_spec(net).recipe
