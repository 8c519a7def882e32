"""The Python interface: the same run as `pinprick attack`, from objects instead of names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.attacks.arguments import eight_bit
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError, UnknownNameError
from pinprick.runs.check_target import check_target as look_over
from pinprick.runs.ready import load_spec_target, settled_images
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.run import run
from pinprick.runs.spec import Spec, make_spec
from pinprick.runs.target_report import TargetReport
from pinprick.targets.base import Target
from pinprick.targets.loading import as_target

Model = str | Target | nn.Module | Callable[[torch.Tensor], Any]
Images = str | ImageSet | tuple[torch.Tensor | NDArray[Any], Any]
CHECKED = (
    *("outputs", "device", "normalize", "channel_order", "layout", "trust_pickle", "classes", "resize", "crop"),
    *("timeout", "retries", "rate", "concurrency", "auth_env"),
)
"""Options of :func:`check_target`."""


def attack(model: Model, images: Images, *, say: Callable[[str], None] | None = None, **options: Any) -> RunResult:
    """Attack a classifier and report how many images it then gets wrong.

    Parameters
    ----------
    model : a shipped name or another form of ``--model``; a torch module or a function from images ``(N, C, H, W)``
        float32 in [0, 1] to ``(N, K)`` scores; a fitted classifier of scikit-learn; or a :class:`pinprick.Target`.
    images : a name or path as after ``--data``; an :class:`pinprick.ImageSet`; or ``(images, labels)``, where images
        are ``(N, C, H, W)`` floats in [0, 1] (rounded to 8 bits) or uint8, and labels ``(N,)`` integers or None.
    say : called with each warning and decision; by default they go to the logger ``pinprick``, which shows warnings.
    options : as on the command line, with underscores: ``attack``, ``parameters`` (a dict, in place of ``--set``),
        ``pixels`` (a number or several), ``goal``, ``targets``, ``limit``, ``first``, ``budget``, ``stop``,
        ``baseline``, ``seed``, ``device``, ``batch_size``, ``outputs``, ``normalize``, ``layout``, ``labels``, ``out``,
        ``save_images``, ``trust_pickle`` …

    Returns
    -------
    RunResult : ``rows`` as on the command line, and ``table``, a pyarrow table with an outcome a unit.

    Raises
    ------
    InputError : something that was given cannot be used: an option of the wrong kind, or one that has nothing to act
        on (``resize``, ``crop`` and ``classes`` for images in memory; ``normalize``, ``channel_order`` and ``device``
        for a target or a function).
    """
    source = images if isinstance(images, str) else "given in Python"
    spec, target = _spec_and_target(model, images, {"data": source} | options)
    chosen = None  # the run loads what the spec names
    if not isinstance(images, str):
        chosen = images if isinstance(images, ImageSet) else _pair(images)
    result = run(spec, target=target, images=chosen, listener=Listener(say=say or _log))
    # Now, and not when it is first used: the folder may have been extended or removed by then.
    _ = result.table
    return result


def check_target(
    model: Model, images: Images | None = None, *, questions: int | None = None, **options: Any
) -> TargetReport:
    """Look a classifier over without attacking it, as `pinprick targets check` does.

    Parameters
    ----------
    model, images : as of :func:`attack`; without images, noise and made-up ones are asked, and traps that only right
        answers show are left unchecked.
    questions : images that it is given at most; 20 000 by default, 100 where it is remote.
    options : those of :func:`attack` that say how model and images are read: ``outputs``, ``device``, ``normalize``,
        ``channel_order``, ``layout``, ``trust_pickle``, ``classes``, ``resize``, ``crop``, ``timeout``, ``retries``,
        ``rate``, ``concurrency`` and ``auth_env``.

    Returns
    -------
    TargetReport : ``traps`` are the warnings, each with what to do about it.

    Raises
    ------
    InputError : something that was given cannot be used; the model fails on every image.
    """
    for option in options:
        if option not in CHECKED:
            raise UnknownNameError("check_target", option, CHECKED)
    spec, target = _spec_and_target(model, images, {"data": images if isinstance(images, str) else "none"} | options)
    chosen = None
    if images is not None:
        given = images if isinstance(images, ImageSet) else None if isinstance(images, str) else _pair(images)
        chosen = settled_images(spec, target, given, Listener(say=target.note))
    return look_over(target, chosen, questions=questions)


def _spec_and_target(model: Model, images: Images | None, options: dict[str, Any]) -> tuple[Spec, Target]:
    """The specification that options come to, and the target that it names or that is given."""
    if not isinstance(images, str):
        for option in ("classes", "resize", "crop"):
            if options.get(option) is not None:
                raise InputError(option, "the images are given, and used as they are", "Leave it out, or give a path.")
    spec = make_spec({"model": model if isinstance(model, str) else "given in Python"} | options)
    if isinstance(model, str):
        return spec, load_spec_target(spec)
    if spec.trust_pickle:
        raise InputError("trust_pickle", "the model is given, and no file is loaded", "Leave it out.")
    order = spec.channel_order if "channel_order" in spec.model_fields_set else None
    target = as_target(
        model, outputs=spec.outputs, device=spec.device, normalize=spec.normalize, order=order, layout=spec.layout
    )
    return spec, target


def _pair(images: object) -> ImageSet:
    """``(images, labels)`` as a set."""
    if not isinstance(images, tuple) or len(images) != 2:
        raise InputError(
            "images", f"a {type(images).__name__}", "Give a name, an ImageSet, or (images, labels); labels may be None."
        )
    return image_set(*images)


def _log(message: str) -> None:
    """Decisions are information, everything else is a warning."""
    level = logging.INFO if message.startswith(("outputs of", "note")) else logging.WARNING
    logging.getLogger("pinprick").log(level, message)


def image_set(images: torch.Tensor | NDArray[Any], labels: Any, *, name: str = "images") -> ImageSet:
    """An image set from images ``(N, C, H, W)``, floats in [0, 1] (rounded to 8 bits) or uint8, and their labels.

    Raises
    ------
    InputError : another shape or type, floats outside of [0, 1], NaN.
    """
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu().numpy()
    return ImageSet.from_arrays(eight_bit(images, name), labels, name=name)
