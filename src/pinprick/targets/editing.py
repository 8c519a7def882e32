"""The incremental way of a torch target: for which numbers of changed pixels it is used, and its base images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.goals import Scores
from pinprick.incremental import Check, Incremental, check

Engine = Literal["auto", "dense", "incremental"]
CANDIDATES, ROUNDS = 64, 3
"""Of the check when a run starts: enough for a verdict, and under half a minute of a network for 224 x 224 images."""
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
    ratio : dense time over incremental time when it was chosen, None where that was not measured.
    """

    pixels: int
    incremental: bool
    why: str
    ratio: float | None = None


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

    def choose(self, pixels: int, how: Engine, images: NDArray[np.uint8]) -> Choice:
        """Decide how candidates of ``pixels`` changed pixels are scored, and remember it.

        ``auto`` takes the incremental way where it agrees with the dense one on random edits of ``images``
        ``(B, C, H, W)``, gives the same bits in any company, and was faster just now.

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
            found = check(self.engine, pixels, images=images, candidates=CANDIDATES, rounds=ROUNDS)
            exact = found.agrees and found.steady
            choice = Choice(pixels, exact and (found.use or how == "incremental"), _why(found), found.ratio)
        if how == "incremental" and not choice.incremental:
            raise InputError("--engine incremental", f"not for {pixels} changed pixels: {choice.why}", "Give auto.")
        self.choices[pixels] = choice
        return choice

    def restore(self, pixels: int, *, incremental: bool) -> None:
        """Score candidates of ``pixels`` changed pixels as an earlier part of the run did."""
        self.choices[pixels] = Choice(pixels, incremental, "as when the run began")

    def used_for(self, pixels: int) -> bool:
        """Whether candidates of up to ``pixels`` changed pixels are scored on windows."""
        return pixels in self.choices and self.choices[pixels].incremental

    def open(self, image: NDArray[np.uint8]) -> int:
        """A handle for a base image ``(C, H, W)``."""
        return int(self.engine.base(image[None])[0])

    def close(self, handle: int) -> None:
        """Let go of a base image."""
        self.engine.forget([handle])

    @torch.inference_mode()
    def scores(self, handles: NDArray[np.int64], edits: Edits) -> Scores:
        """Scores ``(N, K)`` float32 of candidates, each of the base image behind its handle ``(N,)``."""
        found: NDArray[np.float32] = self.engine.scores(handles, edits).float().cpu().numpy()
        return found


def _why(found: Check) -> str:
    """In words what a check found."""
    if not found.agrees:
        return f"scores differ by {found.difference:.1g} of their size from the dense ones"
    if not found.steady:
        return "scores would depend on the other candidates of a pass"
    if found.ratio <= 1:
        return f"windows are slower here ({found.ratio:.2f} x)"
    return f"{found.ratio:.1f} x the dense speed"
