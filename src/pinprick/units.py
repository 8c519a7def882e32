"""Units: the atoms of planning, budgeting, storing and resuming."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pinprick.goals import Goal, Scores


@dataclass(frozen=True)
class Unit:
    """One image, label, goal, attack with its parameters, number of pixels, seed.

    Parameters
    ----------
    image : ``(C, H, W)`` uint8.
    image_name : the image's name in its set.
    image_digest : :func:`pinprick.streams.image_digest` of it.
    seed : :func:`pinprick.streams.unit_seed`, 32 hex digits.
    scores : ``(K,)`` raw scores of the unchanged image.
    starts : ``(S, C, H, W)`` uint8, images that a search may start from, such as some of the target class; mostly none.
    """

    image: NDArray[np.uint8] = field(repr=False)
    image_name: str
    image_digest: str
    label: int
    goal: Goal
    attack: str
    pixels: int
    seed: str
    scores: Scores = field(repr=False)
    starts: NDArray[np.uint8] | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Seed, then image name: equal images have equal outcomes and rows of their own."""
        return unit_key(self.seed, self.image_name)


def unit_key(seed: str, image_name: str) -> str:
    """The key of a unit in a table of outcomes."""
    return f"{seed}/{image_name}"
