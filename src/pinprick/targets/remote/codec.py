"""What every codec is, and images as the numbers that go over a wire."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from pinprick.models.preprocessing import parse_normalisation
from pinprick.targets.remote.wire import Fault, Request

Layout = Literal["NCHW", "NHWC", "flat"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC", "flat")


class Codec(ABC):
    """Turns images into requests, and answers into rows.

    Parameters
    ----------
    batch : images a request, at most.
    """

    batch: int

    @abstractmethod
    def request(self, images: NDArray[np.uint8]) -> Request:
        """A request for ``(N, C, H, W)`` uint8 RGB or gray images."""

    @abstractmethod
    def read(self, content: bytes, headers: Mapping[str, str], n: int) -> NDArray[Any]:
        """The answer to ``n`` images as the target's raw answer: ``(n, K)`` scores or ``(n,)`` labels.

        Raises
        ------
        Fault : it is no answer to these.
        """

    @property
    def way(self) -> str:
        """Which of several ways of asking is taken."""
        return ""

    def has_other_way(self, status: int) -> bool:  # noqa: ARG002
        """Whether the endpoint, having refused with ``status``, can be asked in another way."""
        return False

    def other_way(self) -> None:  # noqa: B027 (most have none)
        """Ask in the other way from now on."""

    def identity(self) -> dict[str, Any]:
        """What tells this way of asking from others that may give other scores."""
        return {}


class Numbers:
    """Pixels as numbers: 0 to 255, or divided by 255 and normalised.

    Parameters
    ----------
    whole : 0 to 255 as they are; else floats.
    normalize : as after --normalize, in RGB order; None for [0, 1].
    order : of the channels, ``rgb`` or ``bgr``.
    kind : of the floats.
    """

    def __init__(
        self,
        *,
        whole: bool,
        normalize: str | None,
        order: str | None,
        layout: Layout,
        kind: type[np.floating[Any]] = np.float32,
    ) -> None:
        self.whole, self.order, self.layout, self.kind, self.normalize = whole, order or "rgb", layout, kind, normalize
        self._mean, self._std = parse_normalisation(normalize or "none")

    def of(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """An array of images in the endpoint's layout, from ``(N, C, H, W)``."""
        values = self._levels(images.shape[1])[np.arange(images.shape[1])[None, :, None, None], images]
        return self._placed(values)

    def texts(self, images: NDArray[np.uint8]) -> NDArray[np.object_]:
        """The same as the shortest JSON numbers that single precision holds exactly."""
        levels = self._levels(images.shape[1])
        words = np.array([[number_text(value) for value in row.tolist()] for row in levels], object)
        return self._placed(words[np.arange(images.shape[1])[None, :, None, None], images])

    def _levels(self, channels: int) -> NDArray[Any]:
        """Of each channel (in RGB) the 256 numbers that stand for its values."""
        plain = np.arange(256, dtype=np.uint8)
        if self.whole:
            return np.broadcast_to(plain, (channels, 256))
        unit = plain.astype(np.float32) / np.float32(255)
        if self.normalize is None:
            return np.broadcast_to(unit.astype(self.kind), (channels, 256))
        mean, std = (np.broadcast_to(np.array(each, np.float32), (channels,)) for each in (self._mean, self._std))
        levels = (unit[None] - mean[:, None]) / std[:, None]
        # A range such as 0..255 is meant to give whole numbers.
        whole = np.rint(levels)
        if np.allclose(levels, whole, rtol=1e-6, atol=1e-6):
            levels = whole
        return levels.astype(self.kind)

    def _placed(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.order == "bgr":
            values = values[:, ::-1]
        if self.layout == "NHWC":
            values = values.transpose(0, 2, 3, 1)
        return values.reshape(len(values), -1) if self.layout == "flat" else values

    def identity(self) -> dict[str, Any]:
        """As part of a target's identity."""
        return {
            "pixels": "0 to 255" if self.whole else "0 to 1" if self.normalize is None else self.normalize,
            "order": self.order,
            "layout": self.layout,
        }


def number_text(value: float) -> str:
    """The shortest decimal that reads as exactly ``value`` in double precision, without a needless ``.0``."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def json_text(values: NDArray[np.object_]) -> str:
    """Nested JSON lists of an array of number texts."""
    if values.ndim == 1:
        return "[" + ",".join(values.tolist()) + "]"
    return "[" + ",".join(json_text(part) for part in values) + "]"


def read_json(content: bytes) -> Any:
    """JSON of an answer; NaN and infinities may stand in it, as some servers write them.

    Raises
    ------
    Fault : it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Fault("the answer is no JSON") from None


def number_array(values: Any, what: str) -> NDArray[np.float64]:
    """Lists of JSON numbers, null for NaN, as an array.

    Raises
    ------
    Fault : they hold something else, or are of differing lengths.
    """

    def refuse(reason: str) -> NoReturn:
        raise Fault(f"{what}: {reason}")

    def number(value: Any) -> float:
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(f"{value!r:.40} in the place of a number")
        return float(value)

    def walk(value: Any, depth: int) -> Any:
        if isinstance(value, list):
            return [walk(one, depth + 1) for one in value] if depth < 6 else refuse("lists within lists")
        return number(value)

    if not isinstance(values, list):
        refuse(f"a {type(values).__name__} in the place of a list")
    try:
        return np.asarray(walk(values, 0), np.float64)
    except (ValueError, OverflowError):
        refuse("lists of differing lengths, or numbers beyond double precision")
