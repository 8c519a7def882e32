"""Tables of outcomes made up for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.runs.store import SCHEMA

CLASSES = 4
SIDE = 6


def outcome(image: str, status: str = "held", **more: Any) -> dict[str, Any]:
    """One row of the table; a fooled unit has a first hit and a confidence."""
    blank: dict[str, Any] = {
        "key": f"{image}-{sorted(more.items())}",
        "image": image,
        "image_digest": "",
        "label": 0,
        "goal": "targeted" if "target" in more else "untargeted",
        "target": None,
        "attack": "one-pixel",
        "pixels": 1,
        "seed": "",
        "status": status,
        "reason": "the model raised" if status == "failed" else None,
        "asked": 100,
        "answered": 100,
        "first_hit": 40 if status == "fooled" else None,
        "gradients": 0,
        "changed": 1,
        "predicted_before": 0,
        "confidence_before": 0.9,
        "predicted_after": more.get("target", 1) if status == "fooled" else 0,
        "confidence_after": None if status == "failed" else 0.5,
        "scores_before": [0.0] * CLASSES,
        "draws": 1,
        "trace": "{}",
    }
    return blank | more


def outcomes(rows: list[dict[str, Any]]) -> pa.Table:
    """The table of such rows, with the column ``colours_before`` where a row has it."""
    schema = SCHEMA
    if any("colours_before" in row for row in rows) and "colours_before" not in schema.names:
        schema = schema.append(pa.field("colours_before", pa.list_(pa.list_(pa.uint8()))))
    return pa.Table.from_pylist(rows, schema=schema)


def some_outcomes(seed: int, images: int, *, targeted: bool, attack: str = "one-pixel") -> pa.Table:
    """Outcomes of ``images`` images drawn from a seed: every status, edits of two pixels, each other class a target."""
    draws = np.random.default_rng(seed)
    rows = []
    for number in range(images):
        label = int(draws.integers(CLASSES))
        ease = draws.random()
        for target in [t for t in range(CLASSES) if t != label] if targeted else [None]:
            status = "fooled" if draws.random() < ease else str(draws.choice(["held", "failed"], p=[0.8, 0.2]))
            hit = int(draws.integers(1, 90))
            end = (label + int(draws.integers(1, CLASSES))) % CLASSES if target is None else target
            unit: dict[str, Any] = {"label": label, "predicted_before": label, "attack": attack}
            if target is not None:
                unit["target"] = target
            if status != "failed":
                unit |= {
                    "predicted_after": end if status == "fooled" else label,
                    "confidence_after": float(draws.random()),
                    "rows": draws.integers(0, SIDE, 2).tolist(),
                    "columns": draws.integers(0, SIDE, 2).tolist(),
                    "colours": draws.integers(0, 256, (2, 3)).tolist(),
                    "colours_before": draws.integers(0, 256, (2, 3)).tolist(),
                }
            if status == "fooled":
                # Now and then only the verifying pass shows the success, and there is no first hit.
                unit |= {"first_hit": hit if draws.random() < 0.9 else None, "asked": hit + int(draws.integers(1, 10))}
            rows.append(outcome(f"image-{number}", status, **unit))
    return outcomes(rows)
