"""Spread: mean, interval and quantiles of a figure that each unit has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.metrics.bootstrap import mean_interval


@dataclass(frozen=True)
class Spread:
    """Of ``n`` values: mean, its 95 % interval (bootstrap over images; None for one image), and quantiles."""

    n: int
    mean: float
    interval: tuple[float, float] | None
    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    most: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


def spread(values: NDArray[np.float64], owner: NDArray[np.intp]) -> Spread | None:
    """The spread of ``values``, one a unit; ``owner`` is each unit's image. None without any.

    Quantiles lie between the two nearest values where none falls on them (NumPy's default).
    """
    if not len(values):
        return None
    points = np.quantile(values, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    return Spread(len(values), float(values.mean()), mean_interval(values, owner), *(float(point) for point in points))
