"""Asking a target a bounded number of questions, and what comes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pinprick.data.image_set import ImageSet
from pinprick.runs.traps import Trap
from pinprick.targets.base import Target
from pinprick.targets.passes import Answers, ask, default_rows


class Asking:
    """A target that is looked over: how much it was asked, the traps that were found, what was not looked for.

    Parameters
    ----------
    images : what it was made for, None where there are none.
    limit : images that it is given at most, padding not counted.
    """

    def __init__(self, target: Target, images: ImageSet | None, limit: int) -> None:
        self.target, self.images, self.limit = target, images, limit
        self.asked = 0
        self.rows = default_rows(target)
        """Images a pass."""
        self.traps: list[Trap] = []
        self.unchecked: list[str] = []

    @property
    def left(self) -> int:
        """Questions that are left."""
        return max(0, self.limit - self.asked)

    def room(self, questions: int, what: str) -> bool:
        """Whether so many questions are left; where not, ``what`` is unchecked."""
        if questions <= self.left:
            return True
        self.unchecked.append(f"{what} (it takes {questions} questions, more than --questions {self.limit} leaves)")
        return False

    def ask(self, images: NDArray[np.uint8], rows: int | None = None, *, fast: bool = False) -> Answers:
        """Scores of images ``(N, C, H, W)``, in passes of ``rows``."""
        self.asked += len(images)
        return ask(self.target, images, rows or self.rows, fast=fast)

    def trap(self, name: str, found: str, advice: str) -> None:
        """Add a warning."""
        self.traps.append(Trap(name, found, advice))
