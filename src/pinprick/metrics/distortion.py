"""Distortion: how far the changed pixels of successes were moved (paper, section 4.3, "average distortion")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pinprick.metrics.changes import changes, has_colours_before
from pinprick.metrics.spread import Spread, spread


@dataclass(frozen=True)
class Distortion:
    """Spreads over successes.

    ``channel`` is the paper's measure: the mean of |after - before| over all channels of a success's changed pixels,
    those channels that stayed among them, in 8-bit units, 0 .. 255. ``l0`` is the number of changed pixels, a pixel
    once over its channels. ``l2`` and ``linf`` are norms of the difference of the images, on the scale where a channel
    goes from 0 to 1.
    """

    channel: Spread
    l0: Spread
    l2: Spread
    linf: Spread

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: value.as_dict() for name, value in vars(self).items()}


def distortion(table: pa.Table) -> Distortion | None:
    """Distortion of the successes of one attack at one number of pixels.

    None without a success, and where the table does not store the colours before (column ``colours_before``).
    """
    if not has_colours_before(table):
        return None
    found = [(change.image, change.difference) for change in changes(table) if change.difference is not None]
    found = [(image, difference) for image, difference in found if len(difference)]
    if not found:
        return None
    owner = np.unique([image for image, _ in found], return_inverse=True)[1]
    differences = [np.abs(difference).astype(float) for _, difference in found]
    channel = spread(np.array([d.mean() for d in differences]), owner)
    l0 = spread(np.array([float(len(d)) for d in differences]), owner)
    l2 = spread(np.array([np.sqrt((d**2).sum()) / 255 for d in differences]), owner)
    linf = spread(np.array([d.max() / 255 for d in differences]), owner)
    assert channel is not None
    assert l0 is not None
    assert l2 is not None
    assert linf is not None
    return Distortion(channel, l0, l2, linf)
