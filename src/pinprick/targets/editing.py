"""The incremental way of a torch target: for which numbers of changed pixels it is used, and its base images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.edits import Edits
from pinprick.errors import InputError, one_line
from pinprick.goals import Scores
from pinprick.incremental import Check, Incremental, check
from pinprick.incremental.check import check_again
from pinprick.targets.passes import is_out_of_memory

Engine = Literal["auto", "dense", "incremental"]
CANDIDATES, ROUNDS = 64, 3
"""Of the check when a run starts: enough for a verdict, and under half a minute of a network for 224 x 224 images."""
MADE = 4
"""Images with some pixels set that are kept in memory for each unit."""
SMALL = 4_000_000
"""Multiplications of an image below which the dense way is taken without timing: little else is left to save there."""


@dataclass(frozen=True)
class Choice:
    """How candidates of one number of pixels are scored.

    Parameters
    ----------
    pixels : how many may change.
    incremental : whether on windows; else all is computed anew.
    why : in words, for the user.
    ratio : time of the fastest dense way over incremental time when it was chosen, None where that was not measured.
    slower : whether windows are left out because of that time alone, which another day may be another.
    """

    pixels: int
    incremental: bool
    why: str
    ratio: float | None = None
    slower: bool = False


class Editing:
    """Scores of edited images from what was computed of their base images.

    Parameters
    ----------
    module : from images ``(N, C, H, W)`` in [0, 1] to scores ``(N, K)``, preprocessing included; evaluation mode.
    shape : ``(C, H, W)``.
    """

    def __init__(self, module: nn.Module, shape: tuple[int, int, int]) -> None:
        self.engine = Incremental(module, shape)
        self.choices: dict[int, Choice] = {}

    def choose(self, pixels: int, how: Engine, images: NDArray[np.uint8], *, against: float = 1.0) -> Choice:
        """Decide how candidates of ``pixels`` changed pixels are scored, and remember it.

        ``auto`` takes the incremental way where it agrees with the dense one on random edits of ``images``
        ``(B, C, H, W)``, gives the same bits in any company, and was faster just now: more than ``against`` times as
        fast as the dense one in single precision.

        Raises
        ------
        InputError : ``incremental`` of a network that it is not exact for, or that it does not apply to.
        """
        if how == "dense":
            choice = Choice(pixels, False, "as asked for")
        elif how == "auto" and 0 < self.engine.plan(pixels).multiplications[2] < SMALL:
            choice = Choice(pixels, False, "the network is small")
        elif self.engine.plan(pixels).dense:
            choice = Choice(pixels, False, self.engine.plan(pixels).why or "windows would cost as much as whole maps")
        else:
            choice = self._checked(pixels, how, images, against)
        if how == "incremental" and not choice.incremental:
            raise InputError("--engine incremental", f"not for {pixels} changed pixels: {choice.why}", "Give auto.")
        self.choices[pixels] = choice
        return choice

    def _checked(self, pixels: int, how: Engine, images: NDArray[np.uint8], against: float) -> Choice:
        """The choice by what a check finds."""
        found = _tried(lambda: check(self.engine, pixels, images=images, candidates=CANDIDATES, rounds=ROUNDS))
        if isinstance(found, str):
            return Choice(pixels, False, found)
        exact = found.agrees and found.steady
        use = exact and (found.ratio > against or how == "incremental")
        return Choice(pixels, use, _why(found, against), found.ratio / against, exact and not use)

    def wrong(self, pixels: int, images: NDArray[np.uint8]) -> str:
        """Why windows are not exact for candidates of ``pixels`` changed pixels of ``images (B, C, H, W)``, in words.

        A short look, for a choice that was made before: the network may be another one with the same weights, and the
        machine another one. Empty where nothing is wrong.
        """
        found = _tried(lambda: check_again(self.engine, pixels, images))
        if isinstance(found, str):
            return found
        return "" if found.agrees and found.steady else _why(found, 1.0)

    def restore(self, pixels: int, *, incremental: bool, why: str = "as when the run began") -> None:
        """Score candidates of ``pixels`` changed pixels as was chosen before."""
        self.choices[pixels] = Choice(pixels, incremental, why)

    def used_for(self, pixels: int) -> bool:
        """Whether candidates of up to ``pixels`` changed pixels are scored on windows."""
        return pixels in self.choices and self.choices[pixels].incremental

    def near(self, edits: Edits, levels: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which candidates ``(N,)`` are scored on windows, by the pixels that each has beside the ones it keeps.

        ``levels``: numbers of pixels for which a way was chosen, ascending. Each is for numbers down to the one before.
        """
        beside = np.full(len(edits), edits.pixels) if edits.count is None else edits.count
        beside = beside if edits.kept is None else beside - edits.kept
        level = np.searchsorted(levels, beside)
        used = np.array([*(self.used_for(each) for each in levels), False])
        found: NDArray[np.bool_] = used[level]
        return found

    def open(self, image: NDArray[np.uint8]) -> Bases:
        """An image ``(C, H, W)``, and those made from it that candidates have in common."""
        return Bases(self.engine, image)

    @torch.inference_mode()
    def scores(self, bases: list[Bases], edits: Edits) -> Scores:
        """Scores ``(N, K)`` float32 of candidates of ``bases (N,)``.

        What a candidate keeps is part of the image that it is computed from, so its bits follow from what its search
        says of it, and not from the other candidates.
        """
        kept = np.zeros(len(edits), np.int32) if edits.kept is None else edits.kept
        if not kept.any():
            return self._scores(np.array([one.handle for one in bases], np.int64), edits)
        found: Scores | None = None
        for number in np.unique(kept).tolist():
            which = np.flatnonzero(kept == number)
            first, rest = edits.take(which).split() if number else (None, edits.take(which))
            handles = np.array([bases[row].handle for row in which.tolist()], np.int64)
            if first is not None:
                for place, row in enumerate(which.tolist()):
                    handles[place] = bases[row].with_pixels(first.take([place]))
            part = self._scores(handles, rest)
            found = np.empty((len(edits), part.shape[1]), part.dtype) if found is None else found
            found[which] = part
        assert found is not None
        return found

    def _scores(self, handles: NDArray[np.int64], edits: Edits) -> Scores:
        found: NDArray[np.float32] = self.engine.scores(handles, edits).float().cpu().numpy()
        return found


class Bases:
    """An image, and images that are it but for a few pixels, in an engine.

    Attributes
    ----------
    handle : of the image itself.
    """

    def __init__(self, engine: Incremental, image: NDArray[np.uint8]) -> None:
        self.engine, self.image = engine, image
        self.handle = int(engine.base(image[None])[0])
        self._made: OrderedDict[bytes, int] = OrderedDict()

    def with_pixels(self, edits: Edits) -> int:
        """The handle of the image with the pixels of one candidate set; the ones of longest ago are forgotten."""
        key = edits.rows.tobytes() + edits.columns.tobytes() + edits.colours.tobytes()
        key += b"" if edits.count is None else edits.count.tobytes()
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        self._made[key] = int(self.engine.base(edits.apply(self.image[None]))[0])
        return self._made[key]

    def forget(self, most: int = MADE) -> None:
        """Let go of all but the ``most`` that were asked for last."""
        while len(self._made) > most:
            self.engine.forget([self._made.popitem(last=False)[1]])

    def close(self) -> None:
        """Let go of all of them."""
        self.forget(0)
        self.engine.forget([self.handle])


def _tried(look: Callable[[], Check]) -> Check | str:
    """What a check finds, or in words why the network cannot be checked."""
    try:
        return look()
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error) or isinstance(error, InputError):
            raise
        # A run fails the units whose candidates the network cannot take; one cannot choose by them.
        return f"the network failed at edited images: {one_line(error)}"


def _why(found: Check, against: float) -> str:
    """In words what a check found, where whole images are computed ``against`` times as fast as it did."""
    if not found.agrees:
        return f"scores differ by {found.difference:.1g} of their size from the dense ones"
    if not found.steady:
        return "scores would depend on the other candidates of a pass"
    if found.ratio <= against:
        return f"windows were slower just now ({found.ratio / against:.2f} x the dense speed)"
    return f"{found.ratio / against:.1f} x the dense speed"
