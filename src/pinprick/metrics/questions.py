"""Questions: what success and failure cost (the paper's "number of evaluations", section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.columns import floats, fooled, owners
from pinprick.metrics.spread import Spread, spread


@dataclass(frozen=True)
class Questions:
    """Questions a unit; None where there is no unit to take them from.

    ``asked`` is over all units, failed and held ones among them, and ``to_success`` over fooled ones: what was asked
    until the unit stopped, which depends on the stop rule and includes the verifying question. ``first_hit`` is over
    fooled units too: questions up to and including the first candidate that meets the goal, whatever was asked after.
    """

    asked: Spread | None
    to_success: Spread | None
    first_hit: Spread | None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: None if value is None else value.as_dict() for name, value in vars(self).items()}


def questions(table: pa.Table) -> Questions:
    """Questions of all units, and of fooled ones up to their stop and up to their first hit."""
    won = fooled(table)
    asked, hits = floats(table, "asked"), floats(table, "first_hit")
    owner = owners(table)[1]
    known = won & ~np.isnan(hits)
    return Questions(
        asked=spread(asked, owner),
        to_success=spread(asked[won], owner[won]),
        first_hit=spread(hits[known], owner[known]),
    )
