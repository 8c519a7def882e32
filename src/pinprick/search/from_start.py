"""What searches by labels share: the image itself, others to start from, and candidates that are sets of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import Asked, Search

Images = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """The image of a place, ``(H*W, C)`` uint8, and those that a search may start from, ``(S, H*W, C)``."""

    image: Images
    starts: Images

    @staticmethod
    def of(image: Images, starts: Images | None) -> Scene:
        """From an image ``(C, H, W)`` and several ``(S, C, H, W)`` or None."""
        several = image[None][:0] if starts is None else starts
        return Scene(_by_pixel(image[None])[0], _by_pixel(several))

    def differs(self, other: Images) -> Flags:
        """In which pixels an image ``(H*W, C)`` differs, ``(H*W,)``."""
        different: Flags = (self.image != other).any(axis=1)
        return different


def _by_pixel(images: Images) -> Images:
    """``(N, C, H, W)`` as ``(N, H*W, C)``."""
    n, channels, height, width = images.shape
    return np.ascontiguousarray(images.reshape(n, channels, height * width).transpose(0, 2, 1))


def edits_of(parts: list[tuple[NDArray[np.int64], Images]], shape: tuple[int, int, int]) -> Edits:
    """Candidates from positions ``(n,)`` (row x width + column) and colours ``(n, C)`` each, n as it comes."""
    channels, _, width = shape
    room = max((len(where) for where, _ in parts), default=0)
    rows, columns = np.zeros((len(parts), room), np.int32), np.zeros((len(parts), room), np.int32)
    colours = np.zeros((len(parts), room, channels), np.uint8)
    for number, (where, own) in enumerate(parts):
        rows[number, : len(where)], columns[number, : len(where)] = np.divmod(where, width)
        colours[number, : len(where)] = own
    return Edits(rows, columns, colours, np.array([len(where) for where, _ in parts], np.int32))


class FromStart(Search):
    """A search for ever fewer pixels by labels alone, which may start from images that meet the goal."""

    objective = "fitness"
    shrinks = True

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int) -> None:
        super().__init__(places, shape, pixels)
        self._scenes: list[Scene | None] = [None] * places

    def look(self, place: int, image: Images, starts: Images | None) -> None:
        self._scenes[place] = Scene.of(image, starts)

    def scene(self, place: int) -> Scene:
        """The images of ``place``, which :meth:`look` was given."""
        scene = self._scenes[place]
        assert scene is not None
        return scene

    def asked(self, parts: list[tuple[NDArray[np.int64], Images]], places: list[int]) -> Asked:
        """Candidates of :func:`edits_of` for these places, or none."""
        edits = edits_of(parts, self.shape) if parts else Edits.none(self.shape[0]).take([])
        return Asked(edits, np.array(places, np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        """Labels tell nothing but whether the goal is met."""

    def goes_on(self, place: int) -> bool:
        return not self.exhausted(place)
