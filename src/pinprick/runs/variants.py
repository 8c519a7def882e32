"""Whether images reach a target as it was trained: accuracy under other ranges, orders, sizes and numberings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.intervals import wilson
from pinprick.models.preprocessing import NORMALISATIONS, parse_normalisation
from pinprick.runs.traps import Trap
from pinprick.targets.base import Target

Change = Callable[[torch.Tensor], torch.Tensor]
Values = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation, each a value a channel or one for all."""
RANGES = ("0..255", "0..16")
"""Tried beside all normalisations that have a name; the second is that of scikit-learn's digits."""
SIZES = (32, 64, 96, 128, 224)
LARGER = 7
"""Sizes that are tried are up to so many times that of the images."""


@dataclass(frozen=True)
class Variant:
    """Another way for images to reach the network.

    Parameters
    ----------
    kind : ``normalisation``, ``channel-order`` or ``size``.
    words : what it is, in words.
    option : the options that give it, or what to do where there are none.
    change : from images ``(N, C, H, W)`` in [0, 1] to what the target is given in their place.
    """

    kind: str
    words: str
    option: str
    change: Change


def variants(target: Target, shape: tuple[int, int, int]) -> Iterator[Variant]:
    """Ways to try for images of ``shape``; those that the target cannot be given are not among them.

    What the target does to values itself (its own ``--normalize`` and order) is undone first, so that each is what
    the option of that name would come to.
    """
    own, order = _own(target)
    channels = shape[0]
    floats = target.local and not getattr(target, "whole_numbers", False)
    for name in [None, *NORMALISATIONS, *RANGES] if floats else [None]:
        wanted = own if name is None else parse_normalisation(name)
        if len(wanted[0]) not in (1, channels) or (name is not None and _same(own, wanted)):
            continue
        for flip in (False, True) if channels == 3 else (False,):
            if name is None and not flip:
                continue
            turned = {"rgb": "bgr", "bgr": "rgb"}[order]
            told = [f"--normalize {name}"] * (name is not None) + [f"--channel-order {turned}"] * flip
            ways = [f"values as --normalize {name} makes them"] * (name is not None)
            words = ", ".join([*ways, *[f"channels in the order {turned.upper()}"] * flip])
            kind = "channel-order" if name is None else "normalisation"
            yield Variant(kind, words, _option(target, told, words), _changed(own, wanted, flip))
    if target.shape is None and target.local:
        for side in SIZES:
            if side != min(shape[1:]) and side <= LARGER * min(shape[1:]):
                yield Variant("size", f"images of {side} x {side}", f"Give --resize {side}.", _resized(side))


def _option(target: Target, told: list[str], words: str) -> str:
    if not target.local:
        return "Give the other --channel-order."
    if hasattr(target, "preprocess") or getattr(target, "pixels", None) is not None:
        return f"Give {' '.join(told)}."
    return f"Give the network {words}, inside the function."


def _own(target: Target) -> tuple[Values, str]:
    """Mean and deviation, and the order, of what a target does to values by itself."""
    for pixels in (getattr(target, "pixels", None), getattr(target, "preprocess", None)):
        if pixels is not None:
            mean, std = (np.ravel(each).tolist() for each in (pixels.mean, pixels.std))
            return (tuple(mean), tuple(std)), pixels.order
    return ((0.0,), (1.0,)), "rgb"


def _same(one: Values, other: Values) -> bool:
    return all(len(a) == len(b) and np.allclose(a, b) for a, b in zip(one, other, strict=True))


def _changed(own: Values, wanted: Values, flip: bool) -> Change:
    def change(images: torch.Tensor) -> torch.Tensor:
        mean, std, own_mean, own_std = (
            torch.tensor(each, dtype=images.dtype, device=images.device).view(1, -1, 1, 1) for each in (*wanted, *own)
        )
        # Values of a channel go with the channel, so that they are normalised before the order is turned; the target
        # normalises by its own place of a channel.
        values = (images - mean) / std
        return (values.flip(1) if flip else values) * own_std + own_mean

    return change


def _resized(side: int) -> Change:
    def change(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)

    return change


def better(right: int, of: int, before: int) -> bool:
    """Whether ``right`` of ``of`` is more than ``before`` of as many, beyond both 95 % intervals."""
    return wilson(right, of)[0] > wilson(before, of)[1]


def order_traps(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> tuple[list[Trap], bool]:
    """Whether classes go by other numbers, from predictions and labels ``(N,)``; and whether there were enough images.

    A permutation is fitted to every other image and judged on the rest, where chance cannot help it. A shift by one
    (a class for the background in front) needs no fit, and can be told of many classes from few images.
    """
    from scipy.optimize import linear_sum_assignment

    right = int((predicted == labels).sum())
    for shift in (1, -1):
        moved = int((predicted == labels + shift).sum())
        if better(moved, len(labels), right):
            where = "higher" if shift > 0 else "lower"
            found = f"{moved} of {len(labels)} predictions are the label's number and one {where}, {right} the label"
            return [Trap("class-order", found, _ORDER)], True
    fit, judge = slice(0, None, 2), slice(1, None, 2)
    if len(labels) < 4 * classes:
        return [], False
    # Failed images have no prediction; one that gives labels may give some beyond the set's.
    known = (predicted >= 0) & (predicted < classes)
    predicted, labels = predicted[known], labels[known]
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels[fit], predicted[fit]), 1)
    to = linear_sum_assignment(table, maximize=True)[1]
    before, after = (int((predicted[judge] == one[judge]).sum()) for one in (labels, to[labels]))
    if not better(after, len(labels[judge]), before):
        return [], True
    moved_classes = [f"{label} is its {to[label]}" for label in range(classes) if to[label] != label]
    found = (
        f"with its classes in another order it gets {after} of {len(labels[judge])} images right, and {before} as they "
        f"are numbered (label {', '.join(moved_classes[:6])}{' …' if len(moved_classes) > 6 else ''})"
    )
    return [Trap("class-order", found, _ORDER)], True


_ORDER = "Give --classes names.json, the class names in the model's order."
