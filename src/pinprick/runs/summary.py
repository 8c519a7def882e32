"""The rows that a run prints: one for each attack and number of pixels, from stored outcomes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinprick.metrics.columns import select
from pinprick.metrics.confidence import confidence
from pinprick.metrics.derived import by_image
from pinprick.metrics.questions import questions
from pinprick.metrics.rates import success_rate

DERIVED = "untargeted-derived"
COLUMNS = ["key", "image", "label", "goal", "target", "attack", "pixels", "status", "reason", "asked", "answered"]
COLUMNS += ["first_hit", "predicted_after", "confidence_after", "draws"]
"""What of the outcomes the rows are made from."""


@dataclass(frozen=True)
class Row:
    """Figures of one attack at one number of pixels; rates are fractions of ``n``.

    ``n`` units finished, failed and held ones among them; of an untargeted-derived row, images. ``interval`` is (0, 1)
    where ``n`` is 0, and null in JSON. ``mean_queries`` and ``median_queries`` are questions asked when the unit
    stopped, failures included; ``confidence`` is the mean probability of the wrong class over successes, None
    where the classifier gives labels only.
    """

    attack: str
    pixels: int
    goal: str
    n: int
    failed: int
    successes: int
    success_rate: float | None
    interval: tuple[float, float]
    mean_queries: float | None
    median_queries: float | None
    mean_queries_to_success: float | None
    confidence: float | None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"interval": list(self.interval) if self.n else None}


def summarise(
    table: pa.Table, attacks: Sequence[str], pixels: Sequence[int], goal: str, *, sure: bool = True
) -> list[Row]:
    """Rows of ``table`` in the order of ``attacks``, then ``pixels``; attacks and pixels without units have n = 0.

    ``sure`` says whether the classifier gives confidences: where it gives labels, the 1 that is stored is none.
    """
    return [
        summary_row(select(table, attack, count), attack, count, goal, sure=sure)
        for attack in attacks
        for count in pixels
    ]


def summary_row(units: pa.Table, attack: str, pixels: int, goal: str, *, sure: bool = True) -> Row:
    """The row of the units of one attack at one number of pixels, counted as ``goal`` says."""
    counted = by_image(units) if goal == DERIVED else units
    rate, asked, certain = success_rate(counted), questions(counted), confidence(counted) if sure else None
    return Row(
        attack=attack,
        pixels=pixels,
        goal=goal,
        n=rate.n,
        failed=int(pc.sum(pc.equal(counted["status"], "failed")).as_py() or 0),
        successes=rate.successes,
        success_rate=rate.rate,
        interval=rate.interval,
        mean_queries=None if asked.asked is None else asked.asked.mean,
        median_queries=None if asked.asked is None else asked.asked.median,
        mean_queries_to_success=None if asked.to_success is None else asked.to_success.mean,
        confidence=None if certain is None else certain.mean,
    )
