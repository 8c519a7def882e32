"""The pixel attack by CMA-ES (Kotyan, Vargas 2022, PLOS ONE 17(4) e0265723, arXiv 1906.06026)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pinprick.attacks.arguments import number_between, whole_number
from pinprick.attacks.base import Attack, Shape
from pinprick.attacks.search_loop import Stop, StopRule, check_stop, search_units
from pinprick.errors import InputError
from pinprick.outcomes import Candidate
from pinprick.search.base import ASK
from pinprick.search.cma_es import CMAES, cma_package
from pinprick.targets.base import Target
from pinprick.targets.meter import Meter
from pinprick.threat import ThreatModel
from pinprick.units import Unit

LARGEST = 10**6
LARGEST_POPULATION = 10_000
"""A generation is drawn as a whole before any of it is asked, so no budget limits the work of that."""
AT_A_TIME = 8
"""Candidates of a generation of the package's own size, for one pixel."""


@dataclass(frozen=True)
class PixelCMAES(Attack):
    """min f_y, or max f_t, by CMA-ES over the positions and colours of d pixels; see :class:`CMAES`.

    The defaults are the authors' code's: the population that the package ``cma`` chooses, a first step of 63 / 4, and
    40 000 questions unless the package's own rules end the search before. ``generations`` = 100 is what the
    Adversarial Robustness Toolbox does.

    Raises
    ------
    InputError : a population that is not 0 or 2 to 10 000, generations that are not 0 to 1 000 000, a step that is
        not over 0 and up to 255, thresholds that are no probabilities, an unknown stop rule.
    """

    population: int = 0
    generations: int = 0
    step: float = 15.75
    stop: Stop = "first-hit"
    target_above: float = 0.9
    label_below: float = 0.05

    name: ClassVar[str] = "cma-es"
    threat: ClassVar[ThreatModel] = ThreatModel(
        "scores", "L0 pixels", ("untargeted", "targeted", "reduce"), "AML.T0043.001"
    )
    course_free: ClassVar[tuple[str, ...]] = ("generations", "stop", "target_above", "label_below")

    def __post_init__(self) -> None:
        check_stop(self.stop)
        for name, most in (("population", LARGEST_POPULATION), ("generations", LARGEST)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 0, most))
        if self.population == 1:
            raise InputError("population", "1", "Give 2 or more, or 0 for the size that the package cma chooses.")
        object.__setattr__(self, "step", number_between("step", self.step, 0, 255))
        if not self.step:
            raise InputError("step", "0", "Give a number over 0.")
        for name in ("target_above", "label_below"):
            object.__setattr__(self, name, number_between(name, getattr(self, name), 0, 1))

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:  # noqa: ARG002
        return 40_001

    def check_target(self, target: Target) -> None:
        """Raise InputError where the target does not give what the attack needs, or ``cma`` is not installed."""
        super().check_target(target)
        cma_package()

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        make = partial(CMAES, population=self.population, generations=self.generations, step=self.step)
        stop = StopRule(self.stop, self.target_above, self.label_below)
        return search_units(make, meter, units, stop, at_a_time=min(ASK, self.population or AT_A_TIME))
