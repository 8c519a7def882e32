"""Clean accuracy of a target that is looked over, and where it is low, whether images reach it as they should."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.goals import Scores
from pinprick.intervals import wilson
from pinprick.runs.asking import Asking
from pinprick.runs.target_report import Accuracy
from pinprick.runs.variants import Change, better, order_traps, variants
from pinprick.targets.base import Target

GOOD = 0.9
"""Clean accuracy from which no other way to give the images is looked for."""
LOCAL_IMAGES = 512
REMOTE_IMAGES = 32
"""Images that the accuracy is taken from, at most."""
TRIED = 64
"""Of these, images that are given in other ways."""
PART = 16
"""Images that are given at a time."""
SECONDS = 60.0
"""Other ways are tried for so long; one that has begun is ended."""


def clean_accuracy(asking: Asking, order: NDArray[np.int64], first: Scores) -> Accuracy | None:
    """Clean accuracy; adds the traps that explain a low one.

    Parameters
    ----------
    order : of the images that are asked, ``(N,)`` indices of the set.
    first : scores that the first of them got already, NaN for those that failed.
    """
    images, local = asking.images, asking.target.local
    if images is None or images.labels is None:
        why = "no --data was given" if images is None else "the images have no labels"
        asking.unchecked.append(f"range, normalisation, order of channels and classes, size ({why})")
        return None
    # Three quarters are left for what comes after.
    n = min(len(order), LOCAL_IMAGES if local else REMOTE_IMAGES, len(first) + asking.left // 4)
    scores = [first]
    if n > len(first):
        scores.append(asking.ask(images.stack(order[len(first) : n])).scores)
    predicted = np.concatenate([np.where(np.isfinite(part).all(axis=1), part.argmax(axis=1), -1) for part in scores])
    labels = np.asarray(images.labels)[order[: len(predicted)]].astype(np.int64)
    right = int((predicted == labels).sum())
    found = Accuracy(right, len(labels), wilson(right, len(labels)))
    known = asking.target.classes
    if known is not None and labels.max() >= known:
        text = f"the images have a label {labels.max()}, and the model has {known} classes"
        asking.trap("class-order", text, "See that the set belongs to the model; labels go from 0 up.")
    if right >= GOOD * len(labels):
        return found
    classes = max(known or 2, int(labels.max()) + 1)
    ordered, enough = order_traps(predicted, labels, classes)
    asking.traps += ordered
    if not enough:
        asking.unchecked.append(f"the order of the classes ({len(labels)} images are too few for {classes} of them)")
    otherwise = _tried(asking, order[:TRIED], predicted, labels)
    if found.interval[0] < min(2 / classes, 0.6) and not (ordered or otherwise):
        text = f"clean accuracy is {right} of {len(labels)}, near chance for {classes} classes"
        asking.trap("near-chance", text, f"Usual causes: {asking.target.suspects}; or the set is not the model's.")
    return found


def _tried(asking: Asking, order: NDArray[np.int64], predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> bool:
    """Give images in other ranges, orders of channels and sizes; whether one is better, which is then a trap."""
    assert asking.images is not None
    n = min(len(order) if asking.target.local else 8, len(labels))
    images = asking.target.images(asking.images.stack(order[:n]))
    before = int((predicted[:n] == labels[:n]).sum())
    channels, height, width = images.shape[1:]
    found = []
    start = time.perf_counter()
    for variant in variants(asking.target, (channels, height, width)):
        if time.perf_counter() - start > SECONDS:
            asking.unchecked.append(f"{variant.words} (it takes long)")
        elif asking.room(n, variant.words):
            asking.asked += n
            found.append((_right(asking.target, variant.change, images, labels[:n]), variant))
    if not found:
        return False
    right, best = max(found, key=lambda each: each[0])
    if better(right, n, before):
        asking.trap(best.kind, f"{right} of {n} images are right with {best.words}, {before} as it is", best.option)
        return True
    return False


def _right(target: Target, change: Change, images: torch.Tensor, labels: NDArray[np.int64]) -> int:
    """How many images are classified right when they are given otherwise."""
    right = 0
    for start in range(0, len(images), PART):
        try:
            scores = target.scores(change(images[start : start + PART]))
        except Exception:
            # A way that the target refuses is not the one that was meant.
            return 0
        right += int((scores.argmax(axis=1) == labels[start : start + PART]).sum())
    return right
