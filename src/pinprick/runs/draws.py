"""How many passes decide on an image: one, or several where the target is random, as its user says or a run sees."""

from __future__ import annotations

from typing import Any

from pinprick.attacks.base import DRAWS
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target
from pinprick.targets.passes import repeat_drift

RANDOM = 1e-4
"""Scores that change more than this, against the largest of them, when the same pass is asked twice are random."""


def settle_draws(
    spec: Spec,
    target: Target,
    images: ImageSet,
    indices: list[int],
    rows: int,
    stored: dict[str, Any] | None,
    listener: Listener,
) -> int:
    """Passes that decide on each image of a run; tells the target that it is random where there are several.

    What the user says counts, then what a continued run (its manifest is ``stored``) was begun with, then what the
    target says of itself. Of a local target that says nothing the same pass is asked twice.

    Raises
    ------
    InputError : a budget that leaves nothing to search with.
    """
    draws = spec.draws
    if draws is None and stored is not None:
        draws = int(stored["what"].get("draws", 1))
    if draws is None and not target.deterministic:
        draws = DRAWS
        listener.say(f"{target.name} is random, by its own account: {draws} passes decide on each image (--draws)")
    if draws is None and target.local:
        drift = repeat_drift(target, images.stack(indices), rows)
        if drift > RANDOM:
            draws = DRAWS
            listener.say(
                f"warning: {target.name} is random: scores change by {drift:.1g} of their size when the same images "
                f"are asked again. {draws} passes decide on each image, by majority (--draws)"
            )
    draws = draws or 1
    if draws > 1:
        target.deterministic = False
        check_budget(spec, draws)
    return draws


def check_budget(spec: Spec, draws: int) -> None:
    """Raise InputError where the budget is too small for an attack and so many passes to verify."""
    for attack in spec.attacks():
        least = attack.least_budget() + draws - 1
        if spec.budget is not None and spec.budget < least:
            first = f"{attack.least_budget() - 1} to begin with"
            raise InputError(
                f"--budget {spec.budget}", f"{attack.name} needs {least} or more ({first}, and {draws} to verify)"
            )
