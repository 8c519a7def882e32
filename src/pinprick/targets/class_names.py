"""Classes by name: the labels of an image set put into the order that a model states for its own classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pinprick.data.classes import ClassNames, relabelled
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError

_SHOWN = 5


def matched(images: ImageSet, names: tuple[str, ...], model: str, *, strict: bool) -> tuple[ImageSet, str | None]:
    """The set with its labels in the order of ``names``, and a line for the user where there is something to say.

    A class of the set and one of the model are the same where their names are, or one of their names where there are
    several with commas between them (``n01440764, tench, Tinca tinca``); capitals, and underscores for blanks, make no
    difference. The labels of a set without class names are taken as names where the model's names are numbers, and
    as places in ``names`` otherwise.

    Parameters
    ----------
    images : the set; without labels it only gets the names, if it has none.
    model : how the line calls the model.
    strict : refuse a set with other classes, which else keeps its labels as they are, with a warning.

    Raises
    ------
    InputError : ``strict``, and a class of the set is none of the model's, or several.
    """
    if images.labels is None:
        return (images if images.classes is not None else replace(images, classes=names)), None
    own = images.classes
    if own is None:
        if not all(name.lstrip("-").isdigit() for name in names):
            return images, f"note: labels are taken as places among the classes of {model}: {_some(names)}"
        own = tuple(str(label) for label in range(int(images.labels.max()) + 1))
    places = _places(names)
    to = np.full(len(own), -1, np.int64)
    for label in np.unique(images.labels).tolist():
        found = _found(own[label], places)
        if len(found) == 1:
            to[label] = next(iter(found))
            continue
        wrong = f"class {own[label]!r} is {'several' if found else 'none'} of the classes of {model} ({_some(names)})"
        if strict:
            right = "Give a set with the model's classes only, or their order in the set's names with --classes."
            raise InputError(f"--data {images.name}", wrong, right)
        return images, f"warning: {wrong}; labels are taken as the model's numbers. --classes gives the right order"
    used = to[to >= 0]
    if len(np.unique(used)) < len(used):
        twice = [own[label] for label in np.flatnonzero(to >= 0) if (used == to[label]).sum() > 1]
        wrong = f"classes {', '.join(map(repr, twice[:2]))} are one class of {model}"
        if strict:
            raise InputError(f"--data {images.name}", wrong, "Give --classes.")
        return images, f"warning: {wrong}; labels are taken as the model's numbers. --classes gives the right order"
    # In the model's order each class is called as the set calls it, where it has it.
    called = list(names)
    for label in np.flatnonzero(to >= 0).tolist():
        called[to[label]] = own[label]
    moved = any(to[label] not in (-1, label) for label in range(len(own)))
    changed = relabelled(replace(images, classes=own), ClassNames(tuple(called), model))
    told = f"note: the classes of {images.name} go by name, in the order of {model}" if moved else None
    return changed, told


def _places(names: Sequence[str]) -> dict[str, set[int]]:
    """Under which places each name stands."""
    places: dict[str, set[int]] = {}
    for place, name in enumerate(names):
        for one in {_plain(name), *(_plain(part) for part in name.split(","))}:
            places.setdefault(one, set()).add(place)
    return places


def _found(name: str, places: dict[str, set[int]]) -> set[int]:
    """The places of a name, or of the names that it is made of."""
    if (whole := _plain(name)) in places:
        return places[whole]
    return set().union(*(places.get(_plain(part), set()) for part in name.split(",")))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" … {len(names)} in all" if len(names) > _SHOWN else "")
