"""The few-pixel attack: as many images fooled as questions allow, at any number of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, get_args

from pinprick.attacks.arguments import truth
from pinprick.attacks.base import Attack, Shape
from pinprick.attacks.search_loop import Stop, StopRule, check_stop, search_units
from pinprick.errors import UnknownNameError
from pinprick.outcomes import Candidate
from pinprick.search.few_pixel import FewPixel
from pinprick.targets.meter import Meter
from pinprick.threat import ThreatModel
from pinprick.units import Unit

Prior = Literal["learned", "even"]

AT_A_TIME = 16
"""Candidates that a search puts forward at a time, about: more places then keep the passes full."""


@dataclass(frozen=True)
class FewPixels(Attack):
    """Changes that look strong, then what a Gaussian process over positions and colours expects most of.

    See :class:`pinprick.search.few_pixel.FewPixel`. Where the paper's evolution asks tens of thousands of questions of
    an image it does not fool, this asks hundreds.

    Parameters
    ----------
    stop : ``first-hit``, or ``paper`` for the evolution's rule.
    give_up : end a unit of one pixel where more questions pay little; only without a budget of one's own, which is used
        to the full. Of several pixels the default budget is where they do: of 100 images, the next 8 000 questions fool
        one or two (docs/results.md).
    prior : what is thought of changes before any was asked: ``learned``, how strong they look in the image
        (:mod:`pinprick.search.strength`), or ``even``, the same of all; then a lattice is asked first.
    """

    stop: Stop = "first-hit"
    give_up: bool = True
    prior: Prior = "learned"

    name: ClassVar[str] = "few-pixel"
    threat: ClassVar[ThreatModel] = ThreatModel(
        "scores", "L0 pixels", ("untargeted", "targeted", "reduce"), "AML.T0043.001"
    )
    course_free: ClassVar[tuple[str, ...]] = ("stop", "give_up", "prior")

    def __post_init__(self) -> None:
        check_stop(self.stop)
        object.__setattr__(self, "give_up", truth("give_up", self.give_up))
        if self.prior not in get_args(Prior):
            raise UnknownNameError("prior", str(self.prior), get_args(Prior))

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:  # noqa: ARG002
        return 1001 if pixels == 1 else 2001

    def on_windows(self, pixels: int) -> tuple[int, ...]:
        # A descent keeps all pixels but one.
        return (1,) if pixels == 1 else (1, pixels)

    def within(self, budget: int | None) -> Attack:
        return self if budget is None else replace(self, give_up=False)

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        make = partial(FewPixel, give_up=self.give_up, by_image=self.prior == "learned")
        return search_units(make, meter, units, StopRule(self.stop), at_a_time=AT_A_TIME)
