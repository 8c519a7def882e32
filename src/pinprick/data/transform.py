"""Resize and centre crop of an image set, done when an image is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image as PILImage

from pinprick.data.decode import MAX_PIXELS
from pinprick.data.digests import text_digest
from pinprick.data.image_set import Image, ImageSet
from pinprick.errors import InputError

RESAMPLING = {
    "nearest": PILImage.Resampling.NEAREST,
    "bilinear": PILImage.Resampling.BILINEAR,
    "bicubic": PILImage.Resampling.BICUBIC,
    "lanczos": PILImage.Resampling.LANCZOS,
    "box": PILImage.Resampling.BOX,
    "hamming": PILImage.Resampling.HAMMING,
}
"""Pillow's filters, antialiased but for the first."""


@dataclass(frozen=True)
class Preparation:
    """How images are brought to the size that a model takes: resized, then the centre cut out.

    Parameters
    ----------
    resize : pixels of the short side; or (height, width), whatever the proportion was; None: as they are.
    crop : (height, width) of the centre that is cut out; None: nothing is.
    resample : a name of :data:`RESAMPLING`.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    resample: str = "bicubic"

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Preparation:
        """From :meth:`as_dict`."""
        resize, crop = stored["resize"], stored["crop"]
        return cls(
            tuple(resize) if isinstance(resize, list) else resize,
            None if crop is None else tuple(crop),
            stored["resample"],
        )

    def as_dict(self) -> dict[str, Any]:
        """What a manifest keeps of it."""
        resize = list(self.resize) if isinstance(self.resize, tuple) else self.resize
        return {"resize": resize, "crop": None if self.crop is None else list(self.crop), "resample": self.resample}

    def __str__(self) -> str:
        parts = []
        if isinstance(self.resize, tuple):
            parts.append(f"resized to {self.resize[0]} x {self.resize[1]} ({self.resample})")
        elif self.resize is not None:
            parts.append(f"resized to {self.resize} pixels of the short side ({self.resample})")
        if self.crop is not None:
            parts.append(f"cropped to {self.crop[0]} x {self.crop[1]}")
        return " and ".join(parts) or "left as they are"


def prepared(images: ImageSet, how: Preparation) -> ImageSet:
    """The images brought to the size that a model takes, one by one, on demand; see :func:`transformed`.

    The fingerprint of the set also covers ``how``.

    Raises
    ------
    InputError : on use, a crop larger than the image.
    """
    if how.resize is None and how.crop is None:
        return images

    def load(index: int) -> Image:
        image, name = images.image(index), images.names[index]
        if how.resize is not None:
            image = _resized(image, how.resize, name, RESAMPLING[how.resample])
        return image if how.crop is None else _cropped(image, how.crop, name)

    fingerprint = text_digest([images.fingerprint, "prepared", *map(str, how.as_dict().items())])
    return replace(images, load=load, fingerprint=fingerprint)


def transformed(images: ImageSet, resize: int | None, crop: int | None) -> ImageSet:
    """The images with their short side resized to ``resize``, then the centre ``crop`` x ``crop`` cut out.

    The sizes follow torchvision's ``Resize`` and ``CenterCrop``, so that published preprocessing can be repeated; the
    resampling is Pillow's bicubic filter, antialiased. Images are decoded and transformed one by one, on demand.

    Parameters
    ----------
    images : any image set.
    resize : pixels of the short side afterwards; the long side keeps the proportion, rounded down. None: no resizing.
    crop : pixels of both sides afterwards; None: no cropping.

    Returns
    -------
    A set with the same names and labels, whose fingerprint also covers ``resize`` and ``crop``; the set itself where
    both are None.

    Raises
    ------
    InputError : a size under 1, a crop larger than the resized short side; on use, a crop larger than the image.
    """
    for option, size in (("--resize", resize), ("--crop", crop)):
        if size is not None and size < 1:
            raise InputError(f"{option} {size}", "not a size", "Give a number of pixels, 1 or more.")
    if resize is not None and crop is not None and crop > resize:
        raise InputError(
            f"--crop {crop}", f"larger than the short side after --resize {resize}", f"Give a crop up to {resize}."
        )
    if resize is None and crop is None:
        return images

    def load(index: int) -> Image:
        image, name = images.image(index), images.names[index]
        if resize is not None:
            image = _resized(image, resize, name, PILImage.Resampling.BICUBIC)
        return image if crop is None else _cropped(image, (crop, crop), name)

    fingerprint = text_digest([images.fingerprint, f"resize={resize}", f"crop={crop}"])
    return replace(images, load=load, fingerprint=fingerprint)


def _resized(image: Image, size: int | tuple[int, int], name: str, resample: PILImage.Resampling) -> Image:
    height, width = image.shape[1:]
    short = min(height, width)
    new_height, new_width = size if isinstance(size, tuple) else (size * height // short, size * width // short)
    if new_height * new_width > MAX_PIXELS:
        raise InputError(
            f"image {name!r}",
            f"{width} x {height} resized to {new_width} x {new_height} is too large",
            "Crop it first.",
        )
    # Channel by channel: Pillow's filter treats them apart anyway, and so any number of channels will do.
    channels = [np.asarray(PILImage.fromarray(channel).resize((new_width, new_height), resample)) for channel in image]
    return np.stack(channels)


def _cropped(image: Image, size: tuple[int, int], name: str) -> Image:
    height, width = image.shape[1:]
    tall, wide = size
    if tall > height or wide > width:
        raise InputError(
            f"--crop {tall}" if tall == wide else f"a crop of {tall} x {wide}",
            f"larger than image {name!r} ({width} x {height})",
            f"Give a crop up to {min(height, width)}, or --resize to enlarge the image first.",
        )
    top, left = round((height - tall) / 2), round((width - wide) / 2)
    return np.ascontiguousarray(image[:, top : top + tall, left : left + wide])
