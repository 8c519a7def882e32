"""Place: where on the image the pixels lie that fooled the classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinprick.metrics.changes import changes


@dataclass(frozen=True)
class Place:
    """``counts[row, column]``, ``(H, W)``: how many successes changed that pixel; ``pixels`` is their sum.

    ``middle`` is the share of changed pixels in the middle of the image, half its height by half its width, None
    without any; ``middle_area`` is the share of the image that this is, so what pixels drawn evenly would come to.
    """

    successes: int
    pixels: int
    counts: NDArray[np.int64] = field(repr=False)
    middle: float | None
    middle_area: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON: the pixels that were changed as ``[row, column, count]``."""
        return {
            "successes": self.successes,
            "pixels": self.pixels,
            "shape": list(self.counts.shape),
            "counts": [[r, c, int(self.counts[r, c])] for r, c in np.argwhere(self.counts > 0).tolist()],
            "middle": self.middle,
            "middle_area": self.middle_area,
        }


def place(table: pa.Table, height: int, width: int) -> Place:
    """Where the successes of one attack at one number of pixels lie on images of ``height`` x ``width``."""
    counts = np.zeros((height, width), np.int64)
    successes = 0
    for change in changes(table):
        successes += 1
        np.add.at(counts, (change.rows, change.columns), 1)
    rows, columns = (slice(side // 4, side - side // 4) for side in (height, width))
    pixels = int(counts.sum())
    return Place(
        successes=successes,
        pixels=pixels,
        counts=counts,
        middle=int(counts[rows, columns].sum()) / pixels if pixels else None,
        middle_area=counts[rows, columns].size / counts.size,
    )
