"""Columns of a table of outcomes as arrays. A table is that of one attack at one number of pixels, in any order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def select(table: pa.Table, attack: str, pixels: int) -> pa.Table:
    """The units of one attack at one number of pixels."""
    return table.filter(pc.and_(pc.equal(table["attack"], attack), pc.equal(table["pixels"], pixels)))


def fooled(table: pa.Table) -> NDArray[np.bool_]:
    """Of each unit, whether its saved image meets the goal, ``(N,)``; failed units do not."""
    return np.array([status == "fooled" for status in table["status"].to_pylist()], bool)


def owners(table: pa.Table) -> tuple[int, NDArray[np.intp]]:
    """How many images there are, and of each unit the number of its image, ``(N,)``, in the order of their names."""
    # By name and not by place, so that the order of the rows does not change what is drawn for which image.
    names, owner = np.unique(np.array(table["image"].to_pylist(), str), return_inverse=True)
    return len(names), owner


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers, ``(N,)``, NaN where it is null."""
    return np.array([np.nan if value is None else value for value in table[name].to_pylist()], float)


def class_count(table: pa.Table) -> int:
    """How many classes the target has: the length of its scores, or more where a label or a target says so."""
    lengths = max(pc.max(pc.list_value_length(table[f"scores_{when}"])).as_py() or 0 for when in ("before", "after"))
    named = [pc.max(table[name]).as_py() for name in ("label", "target", "predicted_before", "predicted_after")]
    return max(lengths, *(0 if top is None else top + 1 for top in named))
