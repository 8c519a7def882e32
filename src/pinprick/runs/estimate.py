"""How much a run has to do, found out without running it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.arguments import takes_single_images
from pinprick.attacks.base import DRAWS
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.incremental.check import drawn
from pinprick.runs.clean import image_order
from pinprick.runs.engines import settle_engines
from pinprick.runs.plan import goals_an_image
from pinprick.runs.ready import load_spec_target, ready, settled_images, told_for
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target
from pinprick.targets.editing import Editing
from pinprick.targets.passes import ask, default_rows

_PASSES = 3
_CANDIDATES = 64
"""Candidates that are timed at once where only what their pixels reach is computed."""


def estimate(spec: Spec, *, target: Target | None = None, images: ImageSet | None = None) -> dict[str, Any]:
    """Units and questions of a run, at most, and the seconds that the model needs for so many; nothing is attacked.

    The number of right images is not known beforehand: all that are asked for are counted, if the set has as many.
    A few passes over unchanged images are timed, and over changed ones where a run would compute only what their pixels
    reach; what the search itself takes is not in ``seconds``, and a unit that ends early asks less.
    ``questions_per_second`` is the mean of all of them. A remote target is not asked: both are then 0. Nothing is
    written but the choice of the engine, which a run of the same network takes over.

    Raises
    ------
    InputError : something that was given cannot be used, as far as this is known before images are scored.
    """
    target = target or load_spec_target(spec)
    spec = told_for(spec, target, Listener())
    images = settled_images(spec, target, images, Listener())
    order = image_order(images, spec.seed, shuffled=spec.first is None)
    channels, height, width = images.image(int(order[0])).shape
    spec.check_shape(channels, height, width)
    attacks, editing, speed = spec.attacks(), None, 0.0
    if target.local:
        ready(target, images, order[:64].tolist(), Listener(), spec.precision, predicted=spec.labels == "predicted")
        for attack in attacks:
            attack.check_target(target)
        editing, _ = settle_engines(spec, target, images, order[:64].tolist(), None, Listener())
        rows = spec.batch_size or default_rows(target, (channels, height, width))
        speed = _images_a_second(target, images, rows, int(order[0]))
    classes = target.classes or len(images.classes or ()) or 2
    attacked = min(spec.wanted(), len(images))
    each = attacked * goals_an_image(spec, classes)
    draws = spec.draws or (1 if target.deterministic else DRAWS)
    questions, seconds = 0, 0.0
    for pixels in spec.pixels:
        asked = each * spec.questions((channels, height, width), pixels, draws)
        questions += asked * len(attacks)
        for attack in attacks:
            # Those of most changed pixels, as nobody knows how many of fewer there will be.
            level = max(attack.on_windows(pixels), default=0)
            if editing is not None and editing.used_for(level):
                seconds += asked / _edits_a_second(editing, images.image(int(order[0])), level)
            elif speed:
                seconds += asked / speed
    return {
        "images": attacked,
        "units": each * len(attacks) * len(spec.pixels),
        "questions": questions,
        "questions_per_second": questions / seconds if seconds else 0.0,
        "seconds": seconds,
    }


def _edits_a_second(editing: Editing, image: NDArray[np.uint8], pixels: int) -> float:
    """Candidates of ``pixels`` changed pixels a second, from what was computed of their base image ``(C, H, W)``."""
    base = editing.open(image)
    _, edits = drawn(editing.engine.shape, _CANDIDATES, pixels, 1)
    try:
        editing.scores([base] * _CANDIDATES, edits)
        start = time.perf_counter()
        for _ in range(_PASSES):
            editing.scores([base] * _CANDIDATES, edits)
        return _PASSES * _CANDIDATES / (time.perf_counter() - start)
    finally:
        base.close()


def _images_a_second(target: Target, images: ImageSet, rows: int, index: int) -> float:
    image = images.image(index)
    batch = np.ascontiguousarray(np.broadcast_to(image, (rows, *image.shape)))
    answers = ask(target, batch, rows, pad=image, fast=True)
    if len(answers.reasons) == rows and takes_single_images(target, image, rows):
        raise InputError(
            f"--model {target.name}",
            f"it fails on passes of {rows} rows ({answers.reasons[0]}), and works on single images",
            "Give --batch-size 1.",
        )
    start = time.perf_counter()
    for _ in range(_PASSES):
        ask(target, batch, rows, pad=image, fast=True)
    return _PASSES * rows / (time.perf_counter() - start)
