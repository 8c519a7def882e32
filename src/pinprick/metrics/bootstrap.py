"""The bootstrap over images: what comes from one image is drawn together, since it succeeds and fails together.

Percentile intervals at 95 % from 2 000 resamples, always with seed 0 and images in the order of their names: the same
outcomes give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pinprick.intervals import wilson

RESAMPLES = 2000
SEED = 0
_CHUNK = 250_000
"""Draws held at once, some 8 MB with what is made of them."""

Reals = NDArray[np.float64]


def weights(images: int) -> Iterator[NDArray[np.float64]]:
    """How often each image is drawn in each resample, ``(chunk, images)`` at a time, ``RESAMPLES`` rows in all."""
    draws = np.random.default_rng(SEED)
    step = max(1, _CHUNK // max(images, 1))
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        drawn = draws.integers(0, images, (rows, images))
        drawn += np.arange(rows)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(float)


def resampled_ratios(top: Reals, bottom: Reals) -> Reals:
    """Sum of ``top`` over sum of ``bottom`` in each resample, ``(RESAMPLES, P)``.

    Parameters
    ----------
    top : ``(I, P)``, of each image what is averaged, added over its units, for P figures at once.
    bottom : ``(I,)``, how many units each image has, 1 or more.
    """
    return np.concatenate([(drawn @ top) / (drawn @ bottom)[:, None] for drawn in weights(len(bottom))])


def share_intervals(top: Reals, bottom: Reals, least: float = 0.0) -> tuple[Reals, Reals]:
    """Lower and upper ends, ``(P,)`` each, of P shares ``top.sum() / bottom.sum()`` between ``least`` and 1.

    Where all images agree, there is nothing to resample, and the bootstrap would claim certainty. Then the share less
    and plus the upper end of Wilson's interval for none of I images, which is Wilson's interval at shares of 0 and 1.
    """
    images = len(bottom)
    low, high = np.quantile(resampled_ratios(top, bottom), [0.025, 0.975], axis=0)
    own = top / bottom[:, None]
    agree = np.ptp(own, axis=0) < 1e-12
    half = wilson(0, images)[1]
    return (
        np.where(agree, np.maximum(own[0] - half, least), low),
        np.where(agree, np.minimum(own[0] + half, 1.0), high),
    )


def mean_interval(values: Reals, owner: NDArray[np.intp]) -> tuple[float, float] | None:
    """Of the mean of ``values``, one a unit, ``(N,)``; ``owner`` is each unit's image. None for under two images."""
    names, place = np.unique(owner, return_inverse=True)
    if len(names) < 2:
        return None
    ratios = resampled_ratios(
        np.bincount(place, weights=values).astype(float)[:, None], np.bincount(place).astype(float)
    )
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)
