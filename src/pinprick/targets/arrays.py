"""Images as NumPy arrays, for classifiers that take these: layout, channel order, range and normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.preprocessing import parse_normalisation

Layout = Literal["auto", "nchw", "nhwc"]
LAYOUTS = ("auto", "nchw", "nhwc")
_WHOLE = 1e-9
"""Values as near to a whole number as this are meant to be one: 8-bit values that were divided and multiplied again."""


@dataclass(frozen=True)
class ArrayPixels:
    """From images ``(N, C, H, W)`` in [0, 1], RGB or gray, to arrays as a classifier takes them.

    Parameters
    ----------
    mean, std : a value a channel, in RGB order, or one for all: ``(x - mean) / std``.
    order : ``rgb`` or ``bgr``.
    layout : ``nchw``, or ``nhwc``, which ``auto`` is too.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"
    layout: Layout = "auto"

    @classmethod
    def of(cls, normalize: str | None, order: str | None, layout: Layout) -> ArrayPixels:
        """From options as they are given; None leaves pixels in [0, 1], and RGB.

        Raises
        ------
        InputError : a normalisation, an order or a layout that there is not.
        """
        if order not in (None, "rgb", "bgr"):
            raise UnknownNameError("--channel-order", order, ("rgb", "bgr"))
        if layout not in LAYOUTS:
            raise UnknownNameError("--layout", str(layout), LAYOUTS)
        mean, std = parse_normalisation(normalize or "none")
        return cls(mean, std, order or "rgb", layout)

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """Arrays ``(N, H, W, C)``, or ``(N, C, H, W)`` where the layout says so, float64.

        Raises
        ------
        InputError : means for other channels than the images have.
        """
        values = self._scaled(images.detach().cpu().numpy().astype(np.float64))
        if self.order == "bgr":
            values = values[:, ::-1]
        return np.ascontiguousarray(values if self.layout == "nchw" else values.transpose(0, 2, 3, 1))

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(x - mean) / std`` of ``(N, C, H, W)``; whole numbers come out as such."""
        if len(self.mean) not in (1, values.shape[1]):
            raise InputError(
                "--normalize",
                f"{len(self.mean)} means for images of {values.shape[1]} channels",
                "Give one a channel, or one.",
            )
        mean, std = (np.array(each).reshape(1, -1, 1, 1) for each in (self.mean, self.std))
        scaled: NDArray[np.float64] = (values - mean) / std
        near = np.rint(scaled)
        return np.where(np.abs(scaled - near) < _WHOLE, near, scaled)

    @property
    def largest(self) -> float:
        """The value that white has."""
        return max((1 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))

    def identity(self) -> dict[str, Any]:
        """What of it belongs to a run's identity."""
        layout = "nhwc" if self.layout == "auto" else self.layout
        return {"mean": list(self.mean), "std": list(self.std), "order": self.order, "layout": layout}
