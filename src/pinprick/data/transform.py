"""Resize and centre crop of an image set, done when an image is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image as PILImage

from pinprick.data.decode import MAX_PIXELS
from pinprick.data.digests import text_digest
from pinprick.data.image_set import Image, ImageSet
from pinprick.errors import InputError


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
            image = _resized(image, resize, name)
        return image if crop is None else _cropped(image, crop, name)

    fingerprint = text_digest([images.fingerprint, f"resize={resize}", f"crop={crop}"])
    return replace(images, load=load, fingerprint=fingerprint)


def _resized(image: Image, size: int, name: str) -> Image:
    height, width = image.shape[1:]
    short = min(height, width)
    new_height, new_width = size * height // short, size * width // short
    if new_height * new_width > MAX_PIXELS:
        raise InputError(
            f"image {name!r}",
            f"{width} x {height} resized to {new_width} x {new_height} is too large",
            "Crop it first.",
        )
    # Channel by channel: Pillow's filter treats them apart anyway, and so any number of channels will do.
    channels = [
        np.asarray(PILImage.fromarray(channel).resize((new_width, new_height), PILImage.Resampling.BICUBIC))
        for channel in image
    ]
    return np.stack(channels)


def _cropped(image: Image, size: int, name: str) -> Image:
    height, width = image.shape[1:]
    if size > min(height, width):
        raise InputError(
            f"--crop {size}",
            f"larger than image {name!r} ({width} x {height})",
            f"Give a crop up to {min(height, width)}, or --resize to enlarge the image first.",
        )
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.ascontiguousarray(image[:, top : top + size, left : left + size])
