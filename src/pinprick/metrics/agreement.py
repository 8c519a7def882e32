"""Agreement: how many of the passes that decided on each image of a random classifier met the goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.columns import floats, owners
from pinprick.metrics.rates import Rate, rate
from pinprick.metrics.spread import Spread, spread


@dataclass(frozen=True)
class Agreement:
    """Of units each of which ``draws`` passes decided on, failed ones counting as if none had met the goal.

    ``share`` spreads the share of the passes that met the goal over all units: its mean is the rate at which single
    passes are fooled. ``most`` are the units where more than half did, which is what fooled means, ``every`` those
    where all did, ``any`` those where at least one did.
    """

    draws: int
    share: Spread
    most: Rate
    every: Rate
    any: Rate

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: value.as_dict() if hasattr(value, "as_dict") else value for name, value in vars(self).items()}


def agreement(table: pa.Table) -> Agreement | None:
    """The agreement of one attack's units; None without any, and where single passes decided."""
    if not len(table):
        return None
    draws = floats(table, "draws")
    if draws.max() <= 1:
        return None
    shares = np.nan_to_num(floats(table, "agree")) / draws
    images = table["image"].to_pylist()
    found = spread(shares, owners(table)[1])
    assert found is not None
    return Agreement(
        draws=int(draws.max()),
        share=found,
        most=rate(2 * shares > 1, images),
        every=rate(shares == 1, images),
        any=rate(shares > 0, images),
    )
