"""Random search: independent draws from the differential evolution's start, for the baseline at equal cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.start import draw_pixels, rounded
from pinprick.streams import generator


class RandomSearch(Search):
    """Uniform positions and N(128, 127) colours, ever anew; never exhausted."""

    def __init__(self, places: int, shape: tuple[int, int, int], pixels: int) -> None:
        super().__init__(places, shape, pixels)
        size = (places, ASK, pixels)
        self.rows, self.columns = np.zeros(size, np.int32), np.zeros(size, np.int32)
        self.colours = np.zeros((*size, shape[0]), np.uint8)
        self.block = np.zeros(places, np.int64)
        self.seeds = [""] * places

    def start(self, place: int, seed: str) -> None:
        self.seeds[place], self.block[place] = seed, 0

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        takes = np.clip(limits, 0, ASK)
        for place in np.flatnonzero(takes):
            drawn = draw_pixels(generator(self.seeds[place], int(self.block[place])), ASK, self.pixels, self.shape)
            self.rows[place], self.columns[place], self.colours[place] = rounded(*drawn, self.shape)
            self.block[place] += 1
        places, members = np.nonzero(np.arange(ASK) < takes[:, None])
        edits = Edits(self.rows[places, members], self.columns[places, members], self.colours[places, members])
        return Asked(edits, places.astype(np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        """Random search learns nothing."""

    def exhausted(self, place: int) -> bool:  # noqa: ARG002
        return False
