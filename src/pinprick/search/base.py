"""Searches as ask/tell objects with a leading axis of places: one search, many units at once.

A place holds one unit's search. The loop that drives a search asks it for candidates, has them scored, and tells it
their fitness; a place whose unit is done is given the next one at once. Places never see each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.outcomes import VulnerabilityMap

ASK = 64
"""Candidates that a place puts forward at a time. A unit that is fooled stops within these many questions of it."""


@dataclass(frozen=True)
class Asked:
    """Candidates to be scored and the place ``(N,)`` that each belongs to, ascending."""

    edits: Edits
    places: NDArray[np.int64]


class Search(ABC):
    """A search over few-pixel edits.

    Parameters
    ----------
    places : how many units are searched for at once.
    shape : ``(C, H, W)`` of their images.
    pixels : entries of a candidate.
    """

    objective: ClassVar[Literal["fitness", "margin", "gaps"]] = "fitness"
    """What it is told: the paper's fitness (a probability); how far the goal is in log odds (under 0 it is met); or
    gaps ``(N, K)``, how far each class is from meeting it (met once any is under 0)."""

    shrinks: ClassVar[bool] = False
    """Whether it looks for ever fewer pixels; it may then ask candidates of more pixels than may change, too."""

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int) -> None:
        self.places, self.shape, self.pixels = places, shape, pixels

    def look(self, place: int, image: NDArray[np.uint8], starts: NDArray[np.uint8] | None) -> None:  # noqa: B027
        """The image ``(C, H, W)`` at ``place``, and those ``(S, C, H, W)`` that a search may start from; before start.

        Most searches go without it.
        """

    @abstractmethod
    def start(self, place: int, seed: str) -> None:
        """Begin a search at ``place``, whose draws are a function of ``seed`` (32 hex digits)."""

    @abstractmethod
    def ask(self, limits: NDArray[np.int64]) -> Asked:
        """The next candidates: of each place at most ``limits[place]`` (and :data:`ASK`), none where it is 0."""

    @abstractmethod
    def tell(self, fitness: NDArray[np.float64]) -> None:
        """Fitness or margin ``(N,)``, or gaps ``(N, K)``, of the candidates asked last, lower is better.

        See :attr:`objective`. Infinite where there is no score.
        """

    def told_hits(self, hits: NDArray[np.bool_]) -> None:  # noqa: B027 (most searches look for one hit)
        """Which of the candidates that it was just told of meet the goal, ``(N,)``."""

    @abstractmethod
    def exhausted(self, place: int) -> bool:
        """Whether the search at ``place`` has nothing more to ask."""

    def at_rest(self, place: int) -> bool:  # noqa: ARG002 (searches without generations always rest)
        """Whether the search at ``place`` stands between two generations (where the paper looks at stop rules)."""
        return True

    def goes_on(self, place: int) -> bool:  # noqa: ARG002 (most searches look for one hit)
        """Whether the search at ``place`` has more to ask even after a candidate has met the goal."""
        return False

    def map_of(self, place: int) -> VulnerabilityMap | None:  # noqa: ARG002
        """What the search at ``place`` has found out about each position of the image, of searches that map it."""
        return None
