"""The smallest number of pixels that fools, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pinprick.attacks.base import Shape
from pinprick.attacks.few_pixel import FewPixels
from pinprick.attacks.search_loop import StopRule, search_units
from pinprick.outcomes import Candidate
from pinprick.search.min_pixels import STAGE, MinPixels, stages
from pinprick.targets.meter import Meter
from pinprick.units import Unit

SHRINKING = 6
"""Searches on the way down that the default budget has room for."""
LEVELS = (1, 2, 3, 5, 8, 12)
"""Numbers of pixels for which an engine is chosen; of more, whole images are mostly cheaper."""


@dataclass(frozen=True)
class FewestPixels(FewPixels):
    """How few pixels fool: `pixels` is the most that may change; see :class:`pinprick.search.min_pixels.MinPixels`.

    A unit counts as fooled where any set of at most that many pixels is found; how many differ is its outcome's
    ``changed``, an upper bound on the true minimum. The share of images that d pixels fool can only rise with d.

    Parameters
    ----------
    stop : as for the other attacks; has no effect here, as the search goes on after a hit, to smaller ones.
    give_up : end a unit where more questions pay little; only without a budget of one's own, which is used to the full.
    prior : as for ``few-pixel``.
    """

    name: ClassVar[str] = "min-pixels"
    shrinks: ClassVar[bool] = True

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:  # noqa: ARG002
        return (stages(pixels) + SHRINKING) * STAGE + 1

    def on_windows(self, pixels: int) -> tuple[int, ...]:
        return (*(level for level in LEVELS if level < pixels), pixels)

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        make = partial(MinPixels, give_up=self.give_up, by_image=self.prior == "learned")
        return search_units(make, meter, units, StopRule())
