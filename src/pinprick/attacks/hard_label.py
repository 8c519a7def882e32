"""The fewest pixels by labels alone, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pinprick.attacks.base import Shape
from pinprick.attacks.by_labels import FewestByLabels
from pinprick.attacks.search_loop import StopRule, search_units
from pinprick.outcomes import Candidate
from pinprick.search.hard_label import BATCH, HardLabel
from pinprick.targets.meter import Meter
from pinprick.units import Unit


@dataclass(frozen=True)
class HardLabelPixels(FewestByLabels):
    """How few pixels fool, where labels are all that the target gives; see :class:`HardLabel`.

    A unit counts as fooled where a set of at most as many pixels as may change is found; how many differ is its
    outcome's ``changed``, an upper bound on the true minimum. Targeted searches start from an image of the target class
    where there is one (:attr:`pinprick.units.Unit.starts`).

    Parameters
    ----------
    stop : as for the other attacks; has no effect here, as the search goes on after a hit, to smaller sets.
    """

    name: ClassVar[str] = "hard-label"

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:  # noqa: ARG002
        return 3_000

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        return search_units(HardLabel, meter, units, StopRule(), at_a_time=BATCH)
