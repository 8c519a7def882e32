"""What attacks that look for the fewest pixels by labels alone have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pinprick.attacks.base import Attack
from pinprick.attacks.search_loop import Stop, check_stop
from pinprick.threat import ThreatModel


@dataclass(frozen=True)
class FewestByLabels(Attack):
    """An attack that goes on after a hit, to smaller sets, and may begin with images of other classes.

    Raises
    ------
    InputError : an unknown stop rule.
    """

    stop: Stop = "first-hit"

    threat: ClassVar[ThreatModel] = ThreatModel(
        "labels", "L0 pixels", ("untargeted", "targeted", "reduce"), "AML.T0043.001"
    )
    course_free: ClassVar[tuple[str, ...]] = ("stop",)
    shrinks: ClassVar[bool] = True
    starts: ClassVar[bool] = True
    strays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_stop(self.stop)
