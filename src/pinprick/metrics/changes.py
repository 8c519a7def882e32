"""The pixels that successes changed, from the edits and the colours stored beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BEFORE = "colours_before"


@dataclass(frozen=True)
class Change:
    """What one success changed: d pixels at ``rows``, ``columns`` ``(d,)``, by ``difference`` ``(d, C)``.

    ``difference`` is after less before, in 8-bit units, -255 .. 255; None where the colours before are not stored.
    """

    image: str
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    difference: NDArray[np.int64] | None


def has_colours_before(table: pa.Table) -> bool:
    """Whether the table tells the colours of the edited pixels in the unchanged image."""
    return _BEFORE in table.column_names


def changes(table: pa.Table) -> Iterator[Change]:
    """One change for each fooled unit that stores edits, in the order of the table.

    A pixel edited twice counts once, as it ended. A pixel set to its own colour is no change, where the colours before
    are stored; elsewhere it cannot be told apart and counts.
    """
    names = ["image", "status", "rows", "columns", "colours", *([_BEFORE] if has_colours_before(table) else [])]
    for unit in table.select(names).to_pylist():
        if unit["status"] != "fooled" or unit["rows"] is None:
            continue
        before = unit.get(_BEFORE)
        last = {place: entry for entry, place in enumerate(zip(unit["rows"], unit["columns"], strict=True))}
        if before is not None:
            last = {place: entry for place, entry in last.items() if unit["colours"][entry] != before[entry]}
        kept = list(last.values())
        difference = None
        if before is not None:
            after = np.array([unit["colours"][entry] for entry in kept], np.int64)
            difference = after - np.array([before[entry] for entry in kept], np.int64)
        places = np.array(list(last), np.int64).reshape(-1, 2)
        yield Change(unit["image"], places[:, 0], places[:, 1], difference)
