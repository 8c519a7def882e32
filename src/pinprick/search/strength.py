"""How much each change of one pixel is thought to do before any of them was asked, from the image alone.

Learned beforehand, on another network and on training images, and the same for every unit since: see
:data:`WEIGHTS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pinprick.search.geometry import Reals

FEATURES = ("size", "square", "saturation", "off centre")
WEIGHTS = (2.52, -1.0, -0.48, -0.41)
"""Of the :data:`FEATURES`, in the logarithm of the strength.

By ``python -m benchmarks.searches.strengths`` from 25 600 changes of 100 training images of CIFAR-10 on VGG16, a
network that is none of those in docs/results.md.
"""


def features(image: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Reals:
    """What the strength of a change follows from, ``(H, W, P, 4)``, in the order of :data:`FEATURES`.

    How large the change is (root of the mean square of its channels, 0 .. 1), the square of their mean absolute value,
    how saturated the new colour is (largest less smallest channel), and how far from the middle of the image it lies
    (squared, 1 at the middle of an edge).

    Parameters
    ----------
    image : ``(C, H, W)`` uint8.
    palette : ``(P, C)`` uint8, the colours that pixels are changed to.
    """
    colours = palette.astype(np.float64) / 255
    change = colours - image.transpose(1, 2, 0)[:, :, None].astype(np.float64) / 255
    _, height, width = image.shape
    down, right = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in (height, width))
    shape = change.shape[:3]
    return np.stack(
        [
            np.sqrt((change**2).mean(axis=-1)),
            np.abs(change).mean(axis=-1) ** 2,
            np.broadcast_to(colours.max(axis=1) - colours.min(axis=1), shape),
            np.broadcast_to((down[:, None] ** 2 + right**2)[:, :, None], shape),
        ],
        axis=-1,
    )


def strengths(image: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Reals:
    """``(H, W, P)``: the standard deviation of what each change to a colour of ``palette`` does, 1 in root mean square.

    Large changes, near the middle of the image, to colours of little saturation are the strongest.
    """
    found: Reals = np.exp(features(image, palette) @ np.array(WEIGHTS))
    found /= np.sqrt((found**2).mean())
    return found
