"""Random changes of training images, drawn from a generator so that a seed gives the same images again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import UnknownNameError

AUGMENTATIONS = ("auto", "crop-flip", "shift", "none")


def padding(how: str, height: int) -> int:
    """Pixels added on each side before the random window is cut out: an eighth of the height, or two for shifts."""
    return max(1, height // 8) if how == "crop-flip" else 2


def augment_batch(images: NDArray[np.uint8], how: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a random window of the same size out of each padded image.

    Parameters
    ----------
    images : ``(N, C, H, W)`` uint8, 0 .. 255.
    how : ``"crop-flip"`` (mirror padding by an eighth of the height, half of the windows flipped left to right; the
        usual CIFAR augmentation, He et al. 2015, section 4.2, with mirrored instead of black borders), ``"shift"``
        (two black pixels on each side) or ``"none"``.
    generator : where the windows and flips are drawn from.

    Returns
    -------
    ``(N, C, H, W)`` uint8; for ``"none"`` the very images that came in.

    Raises
    ------
    UnknownNameError : ``how`` is none of these; ``"auto"`` must have been resolved before.
    """
    if how not in AUGMENTATIONS or how == "auto":
        raise UnknownNameError("augmentation", how, AUGMENTATIONS[1:])
    if how == "none":
        return images
    count = len(images)
    height, width = images.shape[2:]
    pad = padding(how, height)
    mode: Any = "reflect" if how == "crop-flip" else "constant"
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=mode)
    top = generator.integers(0, 2 * pad + 1, count)
    left = generator.integers(0, 2 * pad + 1, count)
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    if how == "crop-flip":
        flip = generator.random(count) < 0.5
        columns = np.where(flip[:, None], columns[:, ::-1], columns)
    picked = padded.transpose(0, 2, 3, 1)[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(picked.transpose(0, 3, 1, 2))
