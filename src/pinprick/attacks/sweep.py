"""The sweep: every position of an image in every colour of a palette; exact for one pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.attacks.arguments import truth
from pinprick.attacks.base import Attack, Shape
from pinprick.attacks.search_loop import Stop, StopRule, check_stop, search_units
from pinprick.errors import InputError, UnknownNameError
from pinprick.outcomes import Candidate
from pinprick.search.colours import corners
from pinprick.search.sweep import Sweep
from pinprick.targets.meter import Meter
from pinprick.threat import ThreatModel
from pinprick.units import Unit

Colours = Literal["corners", "all"]
USUAL: Shape = (3, 32, 32)
"""The shape that a budget is given for where none is known: the paper's."""


@dataclass(frozen=True)
class SweepPixels(Attack):
    """Every position in every colour, and a map of what each of them does; see :class:`pinprick.search.sweep.Sweep`.

    ``colours``: the corners of the colour cube (8 for RGB, black and white for gray), or for gray images all 256.
    ``complete``: by default all is asked whether or not a candidate has met the goal, so that the map is whole, and the
    best hit is handed in; without, a unit ends at its first hit. With a smaller budget than the default the map says
    what was not asked. More than one pixel are found greedily, each by a sweep of its own, and the map is of the first.

    Where a whole sweep meets the goal nowhere, no change of one pixel to any of these colours does: a certificate,
    within the rounding of the classifier's scores.

    Needs labels only; maps of such classifiers have no margins, and more than one pixel are then guesses.

    Raises
    ------
    InputError : an unknown set of colours, ``complete`` that is not true or false.
    """

    stop: Stop = "first-hit"
    colours: Colours = "corners"
    complete: bool = True

    name: ClassVar[str] = "sweep"
    threat: ClassVar[ThreatModel] = ThreatModel(
        "labels", "L0 pixels", ("untargeted", "targeted", "reduce"), "AML.T0043.001"
    )
    course_free: ClassVar[tuple[str, ...]] = ("stop", "complete")

    def __post_init__(self) -> None:
        check_stop(self.stop)
        if self.colours not in ("corners", "all"):
            raise UnknownNameError("colours", str(self.colours), ("corners", "all"))
        object.__setattr__(self, "complete", truth("complete", self.complete))

    def check_shape(self, shape: Shape) -> None:
        if self.colours == "all" and shape[0] != 1:
            raise InputError("--set colours", "'all' of RGB images, which are 16.8 million a position", "Use corners.")

    def palette(self, channels: int) -> NDArray[np.uint8]:
        """The colours that each position is asked in, ``(P, C)``."""
        return corners(channels) if self.colours == "corners" else np.arange(256, dtype=np.uint8)[:, None]

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:
        channels, height, width = shape or USUAL
        return pixels * height * width * len(self.palette(channels)) + 1

    def course_follows_budget(self, pixels: int) -> bool:
        return pixels > 1

    def on_windows(self, pixels: int) -> tuple[int, ...]:
        # Whatever was found before is part of the base image.
        return (1,) if pixels == 1 else (1, pixels)

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        def make(places: int, shape: Shape, pixels: int) -> Sweep:
            return Sweep(
                places,
                shape,
                pixels,
                palette=self.palette(shape[0]),
                budget=meter.budget - meter.draws,
                complete=self.complete,
                margins=meter.target.outputs != "labels",
            )

        return search_units(make, meter, units, StopRule(self.stop))
