"""Class names in a model's order (``--classes names.json``), and labels put into that order."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pinprick.data.digests import text_digest
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError

_MOST_CLASSES = 1_000_000
_SHOWN = 10


@dataclass(frozen=True)
class ClassNames:
    """The classes of a model by name.

    Parameters
    ----------
    names : a name for each class index. Repeated names are allowed (ImageNet has two "crane") but not looked up.
    source : how errors call the list.
    """

    names: tuple[str, ...]
    source: str

    def index(self, name: str, what: str) -> int:
        """The index of class ``name``; ``what`` is who asks, for errors.

        Raises
        ------
        InputError : there is no such class (the nearest names are given), or more than one.
        """
        count = self.names.count(name)
        if count == 1:
            return self.names.index(name)
        if count > 1:
            raise InputError(
                what, f"class {name!r} is {count} times in {self.source}", "Give each class a name of its own there."
            )
        near = difflib.get_close_matches(name, list(dict.fromkeys(self.names)), n=3, cutoff=0.5)
        shown = ", ".join(self.names[:_SHOWN]) + (f" … ({len(self.names)} names)" if len(self.names) > _SHOWN else "")
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It has: {shown}."
        raise InputError(what, f"class {name!r} is not in {self.source}", hint)


def read_classes(path: Path) -> ClassNames:
    """Read class names from JSON: a list in the model's order, or an object ``{name: index}``.

    In an object, indices without a name are called by their number (a set may use a part of a model's classes).

    Raises
    ------
    InputError : no such file, not JSON, or not of one of these two forms.
    """
    what = f"class names {str(path)!r}"
    right = 'Give a JSON list of names in the model\'s order, or an object {"name": index}.'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(what, "there is no such file", right) from None
    except OSError as error:
        raise InputError(what, f"cannot be read ({error.strerror})", right) from None
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise InputError(what, f"not JSON ({error})", right) from None
    if isinstance(content, list):
        if not content or not all(isinstance(name, str) for name in content):
            raise InputError(what, "the list is empty or has something else than names in it", right)
        return ClassNames(tuple(content), str(path))
    if not isinstance(content, dict) or not content:
        raise InputError(what, "neither a list nor an object with something in it", right)
    indices = list(content.values())
    if not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < _MOST_CLASSES for i in indices):
        raise InputError(what, "an index that is not a whole number from 0 up", right)
    if len(set(indices)) < len(indices):
        twice = next(index for index in indices if indices.count(index) > 1)
        raise InputError(what, f"index {twice} is given to two names", right)
    names = [str(index) for index in range(max(indices) + 1)]
    for name, index in content.items():
        names[index] = name
    return ClassNames(tuple(names), str(path))


def relabelled(images: ImageSet, classes: ClassNames) -> ImageSet:
    """The same images, their labels in the order of ``classes``.

    Labels are carried over by name where the set has class names; a set without names is taken to be in the model's
    order already. An unlabelled set only gets the names.

    Raises
    ------
    InputError : a class that occurs in the set is not among ``classes``, or a label is beyond them.
    """
    if images.labels is None or images.classes is None or images.classes == classes.names:
        return replace(images, classes=classes.names)
    what = f"image set {images.name!r}"
    order = np.full(len(images.classes), -1, dtype=np.int64)
    for label in np.unique(images.labels):
        order[label] = classes.index(images.classes[label], what)
    labels = order[images.labels]
    fingerprint = images.fingerprint
    if not np.array_equal(labels, images.labels):
        fingerprint = text_digest([fingerprint, "relabelled", *map(str, labels)])
    return replace(images, labels=labels, classes=classes.names, fingerprint=fingerprint)
