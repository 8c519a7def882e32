"""An image set: images of one shape as 8-bit integers, with labels and names, decoded only when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.errors import InputError

Image = NDArray[np.uint8]
"""One image, ``(C, H, W)``, 0 .. 255, RGB or gray."""


@dataclass(frozen=True, repr=False)
class ImageSet:
    """Images by index, in the set's own order.

    Parameters
    ----------
    name : what the user called it.
    names : a name for each image; repeated names are made unique (``cat.png``, ``cat.png#1``).
    labels : class index of each image, or None where they are not known.
    load : index to image ``(C, H, W)`` uint8; raises :class:`InputError` when an image cannot be read.
    classes : class names in the order of the labels, or None.
    fingerprint : hex digest of what the set was read from.
    preparation : how a model had its images brought to its size, as :class:`pinprick.data.transform.Preparation` tells.
    """

    name: str
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    load: Callable[[int], Image]
    classes: tuple[str, ...] | None = None
    fingerprint: str = ""
    preparation: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"image set {self.name!r}", "no images in it", "Give at least one image.")
        if self.labels is not None and len(self.labels) != len(self.names):
            raise InputError(
                f"image set {self.name!r}",
                f"{len(self.names)} images but {len(self.labels)} labels",
                "Give one label an image.",
            )
        if self.labels is not None and int(self.labels.min()) < 0:
            raise InputError(
                f"image set {self.name!r}",
                f"a label of {int(self.labels.min())} (image {self.names[int(self.labels.argmin())]!r})",
                "Labels are class indices, from 0 up.",
            )
        if self.labels is not None and self.classes is not None and int(self.labels.max()) >= len(self.classes):
            raise InputError(
                f"image set {self.name!r}",
                f"a label of {int(self.labels.max())} (image {self.names[int(self.labels.argmax())]!r}), "
                f"but only {len(self.classes)} class names",
                "Labels are indices into the class names, from 0 up.",
            )
        if len(set(self.names)) < len(self.names):
            object.__setattr__(self, "names", unique_names(self.names))

    def __repr__(self) -> str:
        """In one line: what it was called, how many images, and whether there are labels and names of classes."""
        labels = "without labels" if self.labels is None else "with labels"
        classes = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"<ImageSet {self.name!r}: {len(self)} images {labels}{classes}>"

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Image:
        """Image ``index`` as ``(C, H, W)`` uint8."""
        return self.load(index)

    def stack(self, indices: Sequence[int] | NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Images ``(N, C, H, W)`` uint8, all of them where ``indices`` is None; this is where sizes are compared.

        Raises
        ------
        InputError : the images differ in shape.
        """
        wanted = range(len(self)) if indices is None else [int(index) for index in indices]
        images = [self.load(index) for index in wanted]
        for index, image in zip(wanted, images, strict=True):
            if image.shape != images[0].shape:
                raise InputError(
                    f"image {self.names[index]!r}",
                    f"shape {shape_text(image)} where {self.names[wanted[0]]!r} has {shape_text(images[0])}",
                    "All images of a set must have one size (--resize, --crop) and be all gray or all RGB.",
                )
        return np.stack(images)

    @staticmethod
    def from_arrays(
        images: NDArray[np.uint8],
        labels: NDArray[np.integer] | Sequence[int] | None,
        *,
        name: str = "arrays",
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> ImageSet:
        """A set from images ``(N, C, H, W)`` or ``(N, H, W)`` uint8 held in memory (the array is not copied).

        Parameters
        ----------
        images : uint8, 0 .. 255.
        labels : class index of each image ``(N,)``, or None.
        name, names, classes : as in :class:`ImageSet`; names are numbers by default.

        Raises
        ------
        InputError : not uint8, or not of three or four dimensions.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise InputError(
                f"image set {name!r}",
                f"an array of {images.dtype} with shape {images.shape}",
                "Give uint8 images (0 .. 255) of shape (N, C, H, W), or (N, H, W) for gray.",
            )
        stacked = images[:, None] if images.ndim == 3 else images
        if labels is not None:
            labels = np.asarray(labels)
            if labels.dtype.kind not in "iu" or labels.ndim != 1:
                raise InputError(
                    f"labels of {name!r}",
                    f"{labels.dtype} of shape {labels.shape}",
                    "Give class indices, integers of shape (N,).",
                )
        digits = len(str(max(len(stacked) - 1, 0)))
        digest = hashlib.blake2b(np.ascontiguousarray(stacked).tobytes(), digest_size=16)
        digest.update(b"" if labels is None else np.asarray(labels, dtype=np.int64).tobytes())
        return ImageSet(
            name=name,
            names=tuple(names) if names is not None else tuple(f"{i:0{digits}d}" for i in range(len(stacked))),
            labels=None if labels is None else np.asarray(labels, dtype=np.int64),
            load=lambda index: stacked[index].copy(),  # a caller may write into what it gets
            classes=None if classes is None else tuple(classes),
            fingerprint=digest.hexdigest(),
        )


def shape_text(image: NDArray[np.uint8]) -> str:
    """``3 x 32 x 32``: channels, height, width."""
    return " x ".join(str(size) for size in image.shape)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, a repeated one followed by ``#1``, ``#2`` and so on."""
    seen: dict[str, int] = {}
    taken = set(names)
    result = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        new = name
        while count and (new := f"{name}#{count}") in taken:
            count += 1
        taken.add(new)
        result.append(new)
    return tuple(result)
