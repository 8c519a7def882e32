"""SparseEvo (Vo, Abbasnejad, Ranasinghe, ICLR 2022, arXiv 2202.00091): few pixels by labels alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pinprick.attacks.arguments import number_between, whole_number
from pinprick.attacks.base import Shape
from pinprick.attacks.by_labels import FewestByLabels
from pinprick.attacks.search_loop import StopRule, search_units
from pinprick.outcomes import Candidate
from pinprick.search.sparse_evo import SparseEvo
from pinprick.targets.meter import Meter
from pinprick.units import Unit

LARGEST = 10_000


@dataclass(frozen=True)
class SparseEvolution(FewestByLabels):
    """Takes back pixels of an image that meets the goal, until few are left; see :class:`SparseEvo`.

    A unit counts as fooled where an image with at most as many changed pixels as may change is found; how many differ
    is its outcome's ``changed``. Untargeted searches start from salt and pepper noise, targeted ones from an image of
    the target class where there is one (:attr:`pinprick.units.Unit.starts`), else from noise as well.

    Raises
    ------
    InputError : a population that is not 3 to 10 000, shares that are not 0 to 1, an unknown stop rule.
    """

    population: int = 10
    first: float = 0.004
    mutation: float = 0.04
    crossover: float = 0.9

    name: ClassVar[str] = "sparse-evo"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "population", whole_number("population", self.population, 3, LARGEST))
        for name in ("first", "mutation", "crossover"):
            object.__setattr__(self, name, number_between(name, getattr(self, name), 0, 1))

    def default_budget(self, shape: Shape | None = None, pixels: int = 1) -> int:  # noqa: ARG002
        return 10_000

    def run(self, meter: Meter, units: Iterator[Unit]) -> Iterator[Candidate]:
        make = partial(
            SparseEvo,
            population=self.population,
            first=self.first,
            mutation=self.mutation,
            crossover=self.crossover,
        )
        return search_units(make, meter, units, StopRule(), at_a_time=SparseEvo.at_a_time)
