"""The rows that a run prints: one for each attack and number of pixels, from stored outcomes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinprick.metrics.rates import rate_interval

_COLUMNS = ["image", "status", "asked", "confidence_after"]


@dataclass(frozen=True)
class Row:
    """Figures of one attack at one number of pixels; rates are fractions of ``n``.

    ``n`` units finished, failed and held ones among them; of an untargeted-derived row, images. ``mean_queries`` and
    ``median_queries`` are questions asked when the unit stopped, failures included; ``confidence`` is the mean
    probability of the wrong class over successes.
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
        return asdict(self) | {"interval": list(self.interval)}


def summarise(table: pa.Table, attacks: Sequence[str], pixels: Sequence[int], goal: str) -> list[Row]:
    """Rows of ``table`` in the order of ``attacks``, then ``pixels``; attacks and pixels without units have n = 0."""
    rows = []
    for attack in attacks:
        for count in pixels:
            mine = pc.and_(pc.equal(table["attack"], attack), pc.equal(table["pixels"], count))
            units = table.filter(mine).select(_COLUMNS).to_pylist()
            if goal == "untargeted-derived":
                units = derive(units)
            rows.append(_row(units, attack, count, goal))
    return rows


def derive(units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One unit an image out of its targeted ones: fooled when any of them is (paper, section 4.1).

    Otherwise failed when any failed, else held. Questions add up; the confidence is that of the surest success.
    """
    images: dict[str, list[dict[str, Any]]] = {}
    for unit in units:
        images.setdefault(unit["image"], []).append(unit)
    derived = []
    for image, own in images.items():
        states = {unit["status"] for unit in own}
        sure = [unit["confidence_after"] for unit in own if unit["status"] == "fooled"]
        derived.append(
            {
                "image": image,
                "status": "fooled" if sure else ("failed" if "failed" in states else "held"),
                "asked": sum(unit["asked"] for unit in own),
                "confidence_after": max(sure, default=None),
            }
        )
    return derived


def _row(units: list[dict[str, Any]], attack: str, pixels: int, goal: str) -> Row:
    fooled = [unit["status"] == "fooled" for unit in units]
    asked = np.array([unit["asked"] for unit in units], float)
    won = np.array(fooled, bool)
    successes = int(won.sum())
    return Row(
        attack=attack,
        pixels=pixels,
        goal=goal,
        n=len(units),
        failed=sum(unit["status"] == "failed" for unit in units),
        successes=successes,
        success_rate=successes / len(units) if units else None,
        interval=rate_interval(fooled, [unit["image"] for unit in units]),
        mean_queries=float(asked.mean()) if units else None,
        median_queries=float(np.median(asked)) if units else None,
        mean_queries_to_success=float(asked[won].mean()) if successes else None,
        confidence=float(np.mean([u["confidence_after"] for u in units if u["status"] == "fooled"]))
        if successes
        else None,
    )
