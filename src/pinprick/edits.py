"""Edits: which pixels of an image change, and to what 8-bit colours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

FEW = 64
"""Entries a candidate up to which they are put into an image one after the other; more at once."""
KEY_BYTES = 64
"""Of the key of a candidate; longer ones are digests, as thousands of them are remembered."""


@dataclass(frozen=True)
class Edits:
    """``N`` candidates, each of which sets up to ``d`` pixels of its base image.

    Parameters
    ----------
    rows, columns : ``(N, d)`` integers, ``0 <= row < H`` and ``0 <= column < W``.
    colours : ``(N, d, C)`` uint8.
    count : ``(N,)``, how many of the ``d`` entries count, where that differs; None means all.
    kept : ``(N,)``, how many of the first entries many candidates have in common, so that it pays to compute the image
        that has these and nothing else once for all of them; None means none. It says nothing about the image.

    The same pixel twice in one candidate: the later entry wins. A pixel set to its own colour is not a change.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    colours: Images
    count: NDArray[np.int32] | None = None
    kept: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "colours"):
            if not isinstance(value := getattr(self, name), np.ndarray):
                raise TypeError(f"{name} are a {type(value).__name__}; give arrays: (N, d), (N, d) and uint8 (N, d, C)")
        for name in ("rows", "columns"):
            if getattr(self, name).dtype.kind not in "iu":
                raise TypeError(f"{name} are {getattr(self, name).dtype}; give whole numbers")
        for name in ("count", "kept"):
            if (value := getattr(self, name)) is None:
                continue
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.shape != (len(self.rows),):
                what = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
                raise TypeError(f"{name} is {what}; give whole numbers, one a candidate: ({len(self.rows)},)")
        if self.colours.dtype != np.uint8:
            raise TypeError(f"colours are {self.colours.dtype}; edits hold 8-bit colours, round them first")
        if self.rows.shape != self.columns.shape or self.rows.shape != self.colours.shape[:2] or self.rows.ndim != 2:
            raise ValueError(f"rows {self.rows.shape}, columns {self.columns.shape}, colours {self.colours.shape}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> int:
        """``d``: entries a candidate."""
        return int(self.rows.shape[1])

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | list[int] | slice) -> Edits:
        """The candidates at ``which``."""
        count = None if self.count is None else self.count[which]
        kept = None if self.kept is None else self.kept[which]
        return Edits(self.rows[which], self.columns[which], self.colours[which], count, kept)

    def split(self) -> tuple[Edits, Edits]:
        """Of candidates that all have as many :attr:`kept` entries: these entries, and the others."""
        assert self.kept is not None
        first = int(self.kept[0])
        count = None if self.count is None else self.count
        parts = [
            Edits(
                self.rows[:, part],
                self.columns[:, part],
                self.colours[:, part],
                None if count is None else np.clip(count - low, 0, high - low).astype(np.int32),
            )
            for part, low, high in ((slice(0, first), 0, first), (slice(first, None), first, self.pixels))
        ]
        return parts[0], parts[1]

    @staticmethod
    def none(channels: int) -> Edits:
        """One candidate that changes nothing."""
        return Edits(np.zeros((1, 0), np.int32), np.zeros((1, 0), np.int32), np.zeros((1, 0, channels), np.uint8))

    @staticmethod
    def join(parts: list[Edits]) -> Edits:
        """The candidates of ``parts``, one after the other, with room for as many entries as the widest of them."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.pixels for part in parts)
        parts = [part._widened(width) for part in parts]
        count = kept = None
        if any(part.count is not None for part in parts):
            full = [np.full(len(p), p.pixels, np.int32) if p.count is None else p.count for p in parts]
            count = np.concatenate(full)
        if any(part.kept is not None for part in parts):
            kept = np.concatenate([np.zeros(len(p), np.int32) if p.kept is None else p.kept for p in parts])
        return Edits(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.colours for part in parts]),
            count,
            kept,
        )

    def _widened(self, width: int) -> Edits:
        """The same candidates with room for ``width`` entries, those beyond their own not counting."""
        missing = width - self.pixels
        if not missing:
            return self
        count = np.full(len(self), self.pixels, np.int32) if self.count is None else self.count
        room = ((0, 0), (0, missing))
        rows, columns = np.pad(self.rows, room), np.pad(self.columns, room)
        return Edits(rows, columns, np.pad(self.colours, (*room, (0, 0))), count, self.kept)

    def within(self, pixels: int) -> Edits:
        """The same candidates with their first ``pixels`` entries alone."""
        count = None if self.count is None else np.minimum(self.count, pixels).astype(np.int32)
        return Edits(self.rows[:, :pixels], self.columns[:, :pixels], self.colours[:, :pixels], count)

    def apply(self, bases: Images) -> Images:
        """The edited images ``(N, C, H, W)`` uint8, from one base image a candidate, ``(N, C, H, W)`` uint8."""
        images = bases.copy()
        if self.pixels > FEW:
            which, at = np.nonzero(self._last(bases.shape[-1]))
            images[which, :, self.rows[which, at], self.columns[which, at]] = self.colours[which, at]
            return images
        every = np.arange(len(self))
        # One entry after the other, so that of the same pixel twice the later wins.
        for entry in range(self.pixels):
            on = slice(None) if self.count is None else self.count > entry
            images[every[on], :, self.rows[on, entry], self.columns[on, entry]] = self.colours[on, entry]
        return images

    def canonical(self, bases: Images) -> Edits:
        """The same images by other edits: sorted by pixel, overridden entries and own colours dropped.

        Two candidates of one base image make the same image exactly when their canonical edits are equal. Dropped
        entries are last, as row 0, column 0 and colour 0, and left out of ``count``.
        """
        n = len(self)
        height, width = bases.shape[-2:]
        nowhere = height * width
        where = self.rows.astype(np.int64) * width + self.columns
        live = self._last(width)
        # Entries that do not count may hold anything.
        own = bases[np.arange(n)[:, None], :, np.where(live, self.rows, 0), np.where(live, self.columns, 0)]
        live &= (own != self.colours).any(axis=2)
        where = np.where(live, where, nowhere)
        order = np.argsort(where, axis=1, kind="stable")
        where = np.take_along_axis(where, order, axis=1)
        live = where < nowhere
        colours = np.take_along_axis(self.colours, order[:, :, None], axis=1) * live[:, :, None]
        where = np.where(live, where, 0)
        return Edits(
            (where // width).astype(np.int32),
            (where % width).astype(np.int32),
            colours.astype(np.uint8),
            live.sum(axis=1).astype(np.int32),
        )

    def _last(self, width: int) -> NDArray[np.bool_]:
        """Of each entry whether it counts and no later one of its candidate sets the same pixel, ``(N, d)``."""
        n, d = self.rows.shape
        live = np.ones((n, d), bool) if self.count is None else np.arange(d) < self.count[:, None]
        if d < 2:
            return live
        # Entries that do not count have places of their own, under 0.
        where = np.where(live, self.rows.astype(np.int64) * width + self.columns, -1 - np.arange(d))
        order = np.argsort(where, axis=1, kind="stable")
        sorted_places = np.take_along_axis(where, order, axis=1)
        overridden = np.zeros((n, d), bool)
        np.put_along_axis(overridden, order[:, :-1], sorted_places[:, :-1] == sorted_places[:, 1:], axis=1)
        return live & ~overridden

    def keys(self, bases: Images) -> list[bytes]:
        """A key for each candidate; of one base image, equal keys are equal images and the other way round.

        It tells what changes, whatever room the candidate has; of many entries it is a digest (BLAKE2b, 256 bits).
        """
        plain = self.canonical(bases)
        assert plain.count is not None
        places = (plain.rows.astype(np.uint32) * bases.shape[-1] + plain.columns.astype(np.uint32)).astype("<u4")
        keys = [
            places[number, :kept].tobytes() + plain.colours[number, :kept].tobytes()
            for number, kept in enumerate(plain.count.tolist())
        ]
        # No number of entries takes as many bytes as a digest: they have 5 or 7 each.
        return [key if len(key) <= KEY_BYTES else hashlib.blake2b(key, digest_size=32).digest() for key in keys]

    def changed(self, bases: Images) -> NDArray[np.int32]:
        """``(N,)`` pixels that really change on the integer image: the L0 distance, all channels of a pixel once."""
        count = self.canonical(bases).count
        assert count is not None
        return count


def changed_pixels(before: Images, after: Images) -> NDArray[np.int64]:
    """L0 distance in pixels between images ``(N, C, H, W)`` uint8: a pixel counts once over its channels."""
    changed: NDArray[np.int64] = (before != after).any(axis=1).sum(axis=(1, 2))
    return changed
