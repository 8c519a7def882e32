"""How much a run has to do, found out without running it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pinprick.attacks.arguments import takes_single_images
from pinprick.attacks.base import DRAWS
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs.clean import image_order
from pinprick.runs.plan import goals_an_image
from pinprick.runs.ready import load_spec_target, ready, settled_images, told_for
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target
from pinprick.targets.passes import ask, default_rows

_PASSES = 3


def estimate(spec: Spec, *, target: Target | None = None, images: ImageSet | None = None) -> dict[str, Any]:
    """Units and questions of a run, at most, and the seconds that the model needs for so many; nothing is attacked.

    The number of right images is not known beforehand: all that are asked for are counted, if the set has as many.
    A few passes over unchanged images are timed (``questions_per_second``); what the search itself takes is not in
    ``seconds``, and a unit that ends early asks less. A remote target is not asked: both are then 0. Nothing is
    written.

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
    speed = 0.0
    if target.local:
        ready(target, images, order[:64].tolist(), Listener(), spec.precision)
        for attack in spec.attacks():
            attack.check_target(target)
        rows = spec.batch_size or default_rows(target, (channels, height, width))
        speed = _questions_a_second(target, images, rows, int(order[0]))
    classes = target.classes or len(images.classes or ()) or 2
    attacked = min(spec.wanted(), len(images))
    each = attacked * goals_an_image(spec, classes) * len(spec.attacks())
    units = each * len(spec.pixels)
    draws = spec.draws or (1 if target.deterministic else DRAWS)
    questions = each * sum(spec.questions((channels, height, width), pixels, draws) for pixels in spec.pixels)
    return {
        "images": attacked,
        "units": units,
        "questions": questions,
        "questions_per_second": speed,
        "seconds": questions / speed if speed else 0.0,
    }


def _questions_a_second(target: Target, images: ImageSet, rows: int, index: int) -> float:
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
