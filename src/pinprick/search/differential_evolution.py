"""The one pixel paper's differential evolution (Su, Vargas, Sakurai 2017, sections 3.2 and 3.3), many units at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.base import ASK, Asked, Search
from pinprick.search.start import Bounds, Reals, draw_pixels, into_box, rounded
from pinprick.streams import generator


class DifferentialEvolution(Search):
    """DE/rand/1 without crossover: child ``c_i = p_r1 + F (p_r2 - p_r3)`` replaces its own parent ``p_i`` if fitter.

    ``r1``, ``r2``, ``r3`` are distinct. The first generation asked is the start itself, so ``generations`` generations
    of children cost ``population x (generations + 1)`` questions in all.

    Parameters
    ----------
    population, generations, weight : 400, 100 and F = 0.5 in the paper.
    position_bounds, colour_bounds : what becomes of a value that leaves the box.
    """

    def __init__(
        self,
        places: int,
        shape: tuple[int, int, int],
        pixels: int,
        *,
        population: int = 400,
        generations: int = 100,
        weight: float = 0.5,
        position_bounds: Bounds = "reflect",
        colour_bounds: Bounds = "clip",
    ) -> None:
        super().__init__(places, shape, pixels)
        self.population, self.generations, self.weight = population, generations, weight
        self.position_bounds, self.colour_bounds = position_bounds, colour_bounds
        size = (places, population, pixels)
        # The parents, and the children being asked (in generation 0 the start).
        self.positions, self.colours = np.zeros((*size, 2)), np.zeros((*size, shape[0]))
        self.new_positions, self.new_colours = np.zeros_like(self.positions), np.zeros_like(self.colours)
        self.fitness = np.full((places, population), np.inf)
        self.new_fitness = np.full((places, population), np.inf)
        self.generation = np.zeros(places, np.int64)
        self.cursor = np.zeros(places, np.int64)
        self.seeds = [""] * places
        self._asked: tuple[NDArray[np.intp], NDArray[np.intp]] = (np.zeros(0, np.intp), np.zeros(0, np.intp))

    def start(self, place: int, seed: str) -> None:
        self.seeds[place] = seed
        self.generation[place] = self.cursor[place] = 0
        self.fitness[place] = np.inf
        positions, colours = draw_pixels(generator(seed, 0), self.population, self.pixels, self.shape)
        self.new_positions[place] = positions
        self.new_colours[place] = np.clip(colours, 0, 255)

    def ask(self, limits: NDArray[np.int64]) -> Asked:
        takes = np.minimum(np.minimum(limits, ASK), self.population - self.cursor)
        takes = np.where(self.generation > self.generations, 0, np.maximum(takes, 0))
        grid = np.arange(ASK) < takes[:, None]
        places, offsets = np.nonzero(grid)
        members = self.cursor[places] + offsets
        self._asked = (places, members)
        self.cursor += takes
        rows, columns, colours = rounded(
            self.new_positions[places, members], self.new_colours[places, members], self.shape
        )
        return Asked(Edits(rows, columns, colours.astype(np.uint8)), places.astype(np.int64))

    def tell(self, fitness: NDArray[np.float64]) -> None:
        self.new_fitness[self._asked] = fitness
        full = (self.cursor == self.population) & (self.generation <= self.generations)
        for place in np.flatnonzero(full):
            self._select(int(place))

    def exhausted(self, place: int) -> bool:
        return bool(self.generation[place] > self.generations)

    def at_rest(self, place: int) -> bool:
        return bool(self.cursor[place] == 0)

    def _select(self, place: int) -> None:
        """End a generation at ``place``: keep the fitter of child and own parent, then make the next children."""
        better = self.new_fitness[place] < self.fitness[place]
        if self.generation[place] == 0:
            better[:] = True
        self.positions[place, better] = self.new_positions[place, better]
        self.colours[place, better] = self.new_colours[place, better]
        self.fitness[place, better] = self.new_fitness[place, better]
        self.generation[place] += 1
        self.cursor[place] = 0
        if self.generation[place] <= self.generations:
            self._mutate(place)

    def _mutate(self, place: int) -> None:
        draws = generator(self.seeds[place], int(self.generation[place]))
        r1, r2, r3 = distinct_triples(draws, self.population)
        fresh_positions: Reals | None = None
        fresh_colours: Reals | None = None
        if "resample" in (self.position_bounds, self.colour_bounds):
            fresh_positions, fresh_colours = draw_pixels(draws, self.population, self.pixels, self.shape)
            fresh_colours = np.clip(fresh_colours, 0, 255)
        old = self.positions[place]
        moved = old[r1] + self.weight * (old[r2] - old[r3])
        size = np.array(self.shape[1:], float)
        # The box is half-open: position H would be a row that is not there.
        self.new_positions[place] = into_box(
            moved, np.zeros(2), np.nextafter(size, 0), self.position_bounds, fresh_positions
        )
        old = self.colours[place]
        moved = old[r1] + self.weight * (old[r2] - old[r3])
        self.new_colours[place] = into_box(moved, 0.0, 255.0, self.colour_bounds, fresh_colours)


def distinct_triples(draws: np.random.Generator, n: int) -> tuple[NDArray[np.int64], ...]:
    """``n`` triples of distinct indices below ``n``, uniform over all such triples; ``n`` is 3 or more."""
    first = draws.integers(0, n, n)
    second = draws.integers(0, n - 1, n)
    second += second >= first
    third = draws.integers(0, n - 2, n)
    third += third >= np.minimum(first, second)
    third += third >= np.maximum(first, second)
    return first, second, third
