"""scikit-learn's handwritten digits: the image set that comes with the package's dependencies."""

from __future__ import annotations

import numpy as np

from pinprick.data.image_set import ImageSet
from pinprick.errors import UnknownNameError

_PARTS = {"all": slice(None), "train": slice(0, 1297), "test": slice(1297, None)}


def digits(split: str = "all") -> ImageSet:
    """1 797 gray images of 8 x 8 pixels, ten classes; 0 .. 16 in the source, scaled to 0 .. 255.

    ``split`` is ``"train"`` (the first 1 297), ``"test"`` (the last 500, other writers) or ``"all"``.

    Raises
    ------
    UnknownNameError : another split.
    """
    if split not in _PARTS:
        raise UnknownNameError("image set 'digits'", split, _PARTS)
    # A second of importing, which only these images need.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    part = _PARTS[split]
    names = [f"digit_{index:04d}" for index in range(len(images))][part]
    return ImageSet.from_arrays(
        images[part],
        bunch.target[part],
        name="digits" if split == "all" else f"digits:{split}",
        names=names,
        classes=[str(digit) for digit in range(10)],
    )
