"""Number of target classes that an image can be pushed to (paper, section 4.3, "number of target classes")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.columns import fooled, owners
from pinprick.metrics.derived import complete_images
from pinprick.metrics.rates import Rate, proportion
from pinprick.metrics.spread import Spread, spread


@dataclass(frozen=True)
class ReachedClasses:
    """How many of the K - 1 other classes each image was pushed to.

    ``counts[k]`` of ``images`` images reached exactly k classes, k = 0 .. K - 1. ``at_least[k]`` is the share of
    images that reached k or more: at k = 1 it is the derived untargeted success rate. ``reached`` spreads the number
    over images. ``left_out`` images have targets still to come, and count nowhere.
    """

    images: int
    left_out: int
    counts: tuple[int, ...]
    at_least: tuple[Rate, ...]
    reached: Spread | None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "images": self.images,
            "left_out": self.left_out,
            "counts": list(self.counts),
            "at_least": [rate.as_dict() for rate in self.at_least],
            "reached": None if self.reached is None else self.reached.as_dict(),
        }


def reached_classes(table: pa.Table, classes: int) -> ReachedClasses | None:
    """Classes reached an image, from targeted units of one attack and number of pixels.

    None where not a single image has been attacked towards each of its ``classes`` - 1 other classes: with one target
    an image there is nothing to count. A failed unit counts as a class that was not reached.
    """
    if "targeted" not in table["goal"].to_pylist():
        return None
    whole, left_out = complete_images(table, classes - 1)
    images, owner = owners(whole)
    if not images:
        return None
    reached = np.bincount(owner, weights=fooled(whole), minlength=images).astype(float)
    counts = np.bincount(reached.astype(np.int64), minlength=classes)
    above = counts[::-1].cumsum()[::-1]
    return ReachedClasses(
        images=images,
        left_out=left_out,
        counts=tuple(counts.tolist()),
        at_least=tuple(proportion(int(count), images) for count in above),
        reached=spread(reached, np.arange(images)),
    )
