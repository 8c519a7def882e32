"""Class pairs: which classes turn into which (paper, section 4.3, "original-target class pairs")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.metrics.columns import floats, fooled, owners
from pinprick.metrics.rates import Rate, proportion, rate

Kind = Literal["targeted", "reached"]


@dataclass(frozen=True)
class ClassPair:
    """The rate of one pair: from class ``original`` to class ``target``."""

    original: int
    target: int
    rate: Rate

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {"original": self.original, "target": self.target} | self.rate.as_dict()


@dataclass(frozen=True)
class ClassPairs:
    """Matrices from original class (row) to target class (column), ``(K, K)`` each, and their totals.

    ``kind`` targeted: ``n[i, t]`` units tried to turn an image of class i into t, and ``successes[i, t]`` did.
    ``kind`` reached, of untargeted units, which choose no class: ``successes[i, t]`` images of class i ended as t, and
    ``n[i, t]`` is how many images of class i there are. The diagonal is 0.

    ``pairs`` holds the rates with intervals of all pairs that were tried (reached: of those that occurred).
    ``as_original[i]`` is over all units from class i, and ``as_target[t]`` over all units that could end as t.
    """

    kind: Kind
    n: NDArray[np.int64] = field(repr=False)
    successes: NDArray[np.int64] = field(repr=False)
    pairs: tuple[ClassPair, ...] = field(repr=False)
    as_original: tuple[Rate, ...]
    as_target: tuple[Rate, ...]

    @property
    def rates(self) -> NDArray[np.float64]:
        """``(K, K)`` success rates, NaN where nothing was tried."""
        return np.where(self.n > 0, self.successes / np.maximum(self.n, 1), np.nan)

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON: pairs as a list, since of many classes few pairs occur."""
        return {
            "kind": self.kind,
            "pairs": [pair.as_dict() for pair in self.pairs],
            "as_original": [rate.as_dict() for rate in self.as_original],
            "as_target": [rate.as_dict() for rate in self.as_target],
        }


def class_pairs(table: pa.Table, classes: int) -> ClassPairs:
    """Counts and rates of each pair of ``classes`` classes, from the units of one attack and number of pixels.

    Intervals of pairs and of totals as target are Wilson's, since there each unit is an image of its own; of totals as
    original class they are Wilson's with one unit an image, and the bootstrap over images with several.
    """
    kind: Kind = "targeted" if "targeted" in table["goal"].to_pylist() else "reached"
    won, owner = fooled(table), owners(table)[1]
    label = floats(table, "label").astype(np.int64)
    ends = floats(table, "target" if kind == "targeted" else "predicted_after")
    end = np.where(np.isnan(ends), -1, ends).astype(np.int64)
    # A success that left the class where it was (the goal was not to leave it) is no pair.
    won = won & (end != label)
    n, successes = np.zeros((classes, classes), np.int64), np.zeros((classes, classes), np.int64)
    np.add.at(successes, (label[won], end[won]), 1)
    if kind == "targeted":
        np.add.at(n, (label, end), 1)
        listed = n > 0
    else:
        n += np.bincount(label, minlength=classes)[:, None]
        np.fill_diagonal(n, 0)
        listed = successes > 0
    pairs = tuple(
        ClassPair(original, target, proportion(int(successes[original, target]), int(n[original, target])))
        for original, target in np.argwhere(listed).tolist()
    )
    totals = zip(successes.sum(axis=0).tolist(), n.sum(axis=0).tolist(), strict=True)
    return ClassPairs(
        kind=kind,
        n=n,
        successes=successes,
        pairs=pairs,
        as_original=tuple(rate(won[label == original], owner[label == original]) for original in range(classes)),
        as_target=tuple(proportion(won_there, tried) for won_there, tried in totals),
    )
