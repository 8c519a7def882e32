"""Success rates and their intervals, from stored outcomes alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pinprick.intervals import wilson

RESAMPLES = 2000


def rate_interval(successes: Sequence[bool], images: Sequence[str]) -> tuple[float, float]:
    """A 95 % interval of a success rate.

    Wilson's where every unit is an image of its own; where one image gives several units, which succeed and fail
    together, the percentile bootstrap over images (2 000 resamples, seed 0). A rate of exactly 0 or 1 leaves nothing
    to resample: then Wilson's with the number of images for n, which is the cautious one.

    Parameters
    ----------
    successes : of each unit, whether it succeeded.
    images : of each unit, the image it belongs to.
    """
    flags = np.asarray(successes, float)
    if not len(flags):
        return 0.0, 1.0
    names, owner = np.unique(np.asarray(images), return_inverse=True)
    if len(names) == len(flags):
        return wilson(int(flags.sum()), len(flags))
    if flags.min() == flags.max():
        return wilson(int(flags[0]) * len(names), len(names))
    wins = np.bincount(owner, weights=flags)
    units = np.bincount(owner)
    drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    rates = wins[drawn].sum(axis=1) / units[drawn].sum(axis=1)
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)
