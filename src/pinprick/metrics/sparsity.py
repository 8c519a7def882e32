"""Questions to sparsity: the fewest pixels that were known to fool after so many questions, its median over images."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.metrics.budget import band
from pinprick.metrics.columns import owners
from pinprick.metrics.rates import Method

POINTS = 60
"""Steps of a curve that are kept, evenly spread over the logarithm of the questions."""
_Course = tuple[NDArray[np.int64], NDArray[np.float64]]
ROUND = (1, 3)
"""Points at these times each power of ten are always there."""


@dataclass(frozen=True)
class Sparsity:
    """A step function: after ``questions[i]`` questions a unit, ``median[i]`` pixels had fooled at least half of them.

    What counts is the fewest pixels of any image that has met the goal so far, more than may change among them; units
    that nothing has fooled yet, and failed ones, count as more than any number. None stands for that. ``low`` and
    ``high`` are the median's pointwise 95 % interval, what the band of the share says of one half. ``fooled[i]`` of
    ``n`` had any image that meets the goal. With ``n`` = 0 there are no points.
    """

    n: int
    method: Method
    questions: tuple[int, ...]
    fooled: tuple[int, ...]
    median: tuple[int | None, ...]
    low: tuple[int | None, ...]
    high: tuple[int | None, ...]

    def at(self, questions: int) -> int | None:
        """The median after so many questions; None before the first point, and where half are not fooled yet."""
        place = bisect_right(self.questions, questions) - 1
        return self.median[place] if place >= 0 else None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def sparsity(table: pa.Table, allowed: int | None = None, *, by_image: bool = False) -> Sparsity | None:
    """The curve of one attack whose outcomes have courses; None where none has.

    Answers are taken as they came in the search: the image that counts in the end is verified, those before are not.

    Parameters
    ----------
    allowed : questions a unit that the run allowed: where the curve ends.
    by_image : count images, each with the fewest pixels that any of its units has after so many questions of its own.
    """
    courses = [
        None if asked is None else (np.array(asked, np.int64), np.array(pixels, float))
        for asked, pixels in zip(table["course_asked"].to_pylist(), table["course_pixels"].to_pylist(), strict=True)
    ]
    if all(course is None for course in courses):
        return None
    images, owner = owners(table)
    points = _points(courses, allowed)
    fewest = np.full((len(courses), len(points)), np.inf)
    for number, course in enumerate(courses):
        if course is not None and len(course[0]):
            steps = np.searchsorted(course[0], points, side="right")
            fewest[number] = np.append(np.inf, course[1])[steps]
    if by_image:
        least = np.full((images, len(points)), np.inf)
        np.minimum.at(least, owner, fewest)
        fewest, owner = least, np.arange(images)
    median, low, high = [], [], []
    method: Method = "wilson"
    for column in fewest.T:
        values = np.unique(column[np.isfinite(column)])
        within = column[:, None] <= values
        won = within.sum(axis=0)
        method, below, above = band(within, owner, images)
        median.append(_first(values, 2 * won >= len(column)))
        low.append(_first(values, above >= 0.5))
        high.append(_first(values, below >= 0.5))
    return Sparsity(
        n=len(fewest),
        method=method,
        questions=tuple(points.tolist()),
        fooled=tuple(np.isfinite(fewest).sum(axis=0).tolist()),
        median=tuple(median),
        low=tuple(low),
        high=tuple(high),
    )


def _points(courses: list[_Course | None], allowed: int | None) -> NDArray[np.int64]:
    """Questions at which the curve is taken: 1, round numbers, the end, and steps of the courses."""
    steps = np.unique(np.concatenate([course[0] for course in courses if course is not None]))
    end = max([1, *([] if allowed is None else [allowed]), *steps[-1:].tolist()])
    even = np.unique(np.geomspace(1, end, POINTS).round().astype(np.int64))
    decades = [factor * 10**power for power in range(19) for factor in ROUND if factor * 10**power < end]
    chosen = steps if len(steps) <= POINTS else even
    return np.unique(np.concatenate([[1, end], decades, chosen])).astype(np.int64)


def _first(values: NDArray[np.float64], reached: NDArray[np.bool_]) -> int | None:
    """The first of ``values`` at which something is reached, None where it never is."""
    return int(values[np.argmax(reached)]) if reached.any() else None
