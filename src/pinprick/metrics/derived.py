"""Targeted units counted by image: an image is fooled when any of its targets was reached (paper, section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.budget import cost_of_success
from pinprick.metrics.columns import owners

_COLUMNS = ["image", "label", "target", "status", "reason", "asked", "answered", "draws"]
_COLUMNS += ["confidence_after", "predicted_after"]
_SCHEMA = pa.schema(
    [
        pa.field("image", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("asked", pa.int64()),
        pa.field("answered", pa.int64()),
        pa.field("first_hit", pa.int64()),
        pa.field("draws", pa.int32()),
        pa.field("confidence_after", pa.float64()),
        pa.field("predicted_after", pa.int32()),
    ]
)


def by_image(table: pa.Table) -> pa.Table:
    """A table with one row an image, in the order of their names, from targeted units of one attack and pixel count.

    Fooled when any unit is; otherwise failed when any failed, else held. Questions add up. ``confidence_after`` and
    ``predicted_after`` are those of the surest success; ``first_hit`` is the least of its successes, so that success
    against budget is over the budget of *one* target.
    """
    images: dict[str, list[dict[str, Any]]] = {}
    costs = cost_of_success(table)
    for unit, cost in zip(table.select(_COLUMNS).to_pylist(), costs.tolist(), strict=True):
        images.setdefault(unit["image"], []).append(unit | {"cost": cost})
    rows = []
    for image in sorted(images):
        # By target, so that of equal successes the same one stands for the image in any order of the rows.
        own = sorted(images[image], key=lambda unit: -1 if unit["target"] is None else unit["target"])
        won = [unit for unit in own if unit["status"] == "fooled"]
        failed = [unit for unit in own if unit["status"] == "failed"]
        sure = max(won, key=lambda unit: float(unit["confidence_after"]), default=None)
        first = min(won, key=lambda unit: float(unit["cost"]), default=None)
        rows.append(
            {
                "image": image,
                "label": own[0]["label"],
                "status": "fooled" if won else ("failed" if failed else "held"),
                "reason": min((unit["reason"] or "" for unit in failed), default=None) if not won else None,
                "asked": sum(unit["asked"] for unit in own),
                "answered": sum(unit["answered"] for unit in own),
                "first_hit": None if first is None else int(first["cost"]) - first["draws"],
                "draws": 1 if first is None else first["draws"],
                "confidence_after": None if sure is None else sure["confidence_after"],
                "predicted_after": None if sure is None else sure["predicted_after"],
            }
        )
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def complete_images(table: pa.Table, targets: int) -> tuple[pa.Table, int]:
    """The units of images of which all ``targets`` units have ended, and how many images that leaves out.

    An image with targets still to come cannot be said to hold.
    """
    count, owner = owners(table)
    whole = np.bincount(owner, minlength=count) >= targets
    return table.filter(pa.array(whole[owner], pa.bool_())), int(count - whole.sum())
