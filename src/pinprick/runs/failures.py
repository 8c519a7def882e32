"""Failed units by reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Failure:
    """``count`` units failed for this reason, on these ``images``."""

    reason: str
    count: int
    images: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return vars(self) | {"images": list(self.images)}


def failures(table: pa.Table) -> tuple[Failure, ...]:
    """Failed units by reason, the most frequent first."""
    failed = table.filter(pc.equal(table["status"], "failed"))
    images: dict[str, list[str]] = {}
    for reason, image in zip(failed["reason"].to_pylist(), failed["image"].to_pylist(), strict=True):
        images.setdefault(reason or "no reason given", []).append(image)
    found = [Failure(reason, len(names), tuple(sorted(set(names)))) for reason, names in images.items()]
    return tuple(sorted(found, key=lambda failure: (-failure.count, failure.reason)))
