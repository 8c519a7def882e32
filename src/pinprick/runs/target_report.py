"""What looking a target over has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pinprick.runs.traps import Trap


@dataclass(frozen=True)
class Accuracy:
    """Of ``n`` labelled images ``right`` were classified right; ``interval`` is Wilson's, 95 %."""

    right: int
    n: int
    interval: tuple[float, float]


@dataclass(frozen=True)
class TargetReport:
    """What :func:`pinprick.runs.check_target.check_target` found.

    Parameters
    ----------
    name, kind : what the user called the target, and its class.
    identity : what a run's manifest says of it: digest of its weights, engine, device and the like.
    shape : ``(C, H, W)`` that it was asked with; ``shape_from`` says where it is from: model, images or tried.
    classes : K, None where it did not show.
    outputs : logits, probabilities or labels; ``decided`` says how that was found.
    again, reordered, alone : the largest difference of the same pass asked again, in reverse order, and of images by
        themselves, relative to the largest score (0: bit for bit); None where it was not asked.
    speeds : images a second by images a pass; ``best_rows`` is the fastest.
    incremental : whether single pixels are scored on windows, None where that does not apply; ``engine`` says why.
    questions_at_most, seconds_at_most : of ``few-pixel`` with one pixel on 100 images, if no unit ended early, by the
        speed of the model alone; None without a speed or for labels.
    accuracy : on the images that were given, None without labels.
    notes : what the target says of itself.
    traps : warnings. ``unchecked`` says which were not looked for, and why.
    asked : images that it was given, padding not counted.
    """

    name: str
    kind: str
    identity: dict[str, Any]
    shape: tuple[int, int, int]
    shape_from: str
    classes: int | None
    outputs: str
    decided: str
    again: float | None
    reordered: float | None
    alone: float | None
    speeds: dict[int, float]
    best_rows: int | None
    incremental: bool | None
    engine: str
    questions_at_most: int | None
    seconds_at_most: float | None
    accuracy: Accuracy | None
    notes: tuple[str, ...]
    traps: tuple[Trap, ...]
    unchecked: tuple[str, ...]
    asked: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"speeds": {str(rows): speed for rows, speed in self.speeds.items()}}
