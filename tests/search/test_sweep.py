"""The sweep as a search: what it asks, in which order, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pinprick.search.base import ASK
from pinprick.search.colours import corners
from pinprick.search.sweep import Sweep

Margin = Callable[[NDArray[np.int64]], float]
"""Of a candidate's pixels, ``(d, 3)``: row, column, value of the first channel."""
Asked = list[list[tuple[int, ...]]]


def swept(search: Sweep, margin: Margin, *, rooms: Callable[[int], int] = lambda turn: ASK, most: int = 10**6) -> Asked:
    """Drive one place until nothing is asked, or ``most`` questions are; the candidates, in their order."""
    search.start(0, "0" * 32)
    asked: Asked = []
    turn = 0
    while True:
        found = search.ask(np.array([min(rooms(turn), most - len(asked))]))
        turn += 1
        if not len(found.edits):
            assert search.exhausted(0) or len(asked) == most
            return asked
        edits = found.edits
        pixels = np.stack([edits.rows, edits.columns, edits.colours[..., 0]], -1).astype(np.int64)
        margins = np.array([margin(one) for one in pixels])
        search.tell(margins)
        search.told_hits(margins < 0)
        asked += [[tuple(pixel) for pixel in one] for one in pixels.tolist()]


def sweep_of(shape: tuple[int, int, int], pixels: int = 1, **more: object) -> Sweep:
    palette = corners(shape[0])
    settings: dict[str, object] = {"palette": palette, "budget": len(palette) * shape[1] * shape[2] * pixels} | more
    return Sweep(1, shape, pixels, **settings)  # type: ignore[arg-type]


def bowl(row: int, column: int) -> Margin:
    """Lowest, and under 0, at one position."""

    def margin(pixels: NDArray[np.int64]) -> float:
        return float(np.hypot(pixels[-1, 0] - row, pixels[-1, 1] - column) - 0.5 + (pixels[-1, 2] == 0))

    return margin


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 9, 12), (1, 8, 41), (1, 33, 8), (1, 17, 31), (1, 64, 9)])
@pytest.mark.parametrize("bend", [1.0, -1.0, 0.0])
def test_every_position_is_asked_in_every_colour_and_none_twice(shape: tuple[int, int, int], bend: float) -> None:
    asked = swept(sweep_of(shape), lambda pixels: 3 + bend * bowl(5, 3)(pixels))
    expected = {(row, column, value) for row in range(shape[1]) for column in range(shape[2]) for value in (0, 255)}
    assert len(asked) == len(expected)
    assert {pixels[0] for pixels in asked} == expected


def test_the_map_holds_counts_and_least_margins() -> None:
    draws = np.random.default_rng(0).normal(1, 1, (9, 12, 2))
    search = sweep_of((1, 9, 12))
    swept(search, lambda pixels: float(draws[pixels[0, 0], pixels[0, 1], pixels[0, 2] // 255]))
    found = search.map_of(0)
    assert found is not None
    np.testing.assert_array_equal(found.asked, 2)
    np.testing.assert_array_equal(found.fooled, (draws < 0).sum(axis=2))
    np.testing.assert_array_equal(found.margin, draws.min(axis=2))


def test_neither_the_budget_nor_the_room_of_a_turn_changes_the_order() -> None:
    whole = swept(sweep_of((1, 16, 20)), bowl(11, 4))
    for most in (1, 2, 63, 64, 65, 200):
        assert swept(sweep_of((1, 16, 20), budget=most), bowl(11, 4), most=most) == whole[:most]
    assert swept(sweep_of((1, 16, 20)), bowl(11, 4), rooms=lambda turn: 1 + turn % 7) == whole


@pytest.mark.parametrize("where", [(21, 9), (0, 0), (31, 30), (16, 16)])
def test_where_margins_lead_the_lowest_is_found_early(where: tuple[int, int]) -> None:
    asked = swept(sweep_of((1, 32, 32)), bowl(*where))
    first = next(number for number, pixels in enumerate(asked) if bowl(*where)(np.array(pixels)) < 0)
    assert first < 0.15 * len(asked), "a tenth of a raster scan, or not much more"


def test_the_first_cells_lie_all_over_the_image() -> None:
    asked = swept(sweep_of((1, 32, 48)), lambda pixels: 1.0, most=2 * 24)
    assert {(row // 8, column // 8) for ((row, column, _),) in asked} == {(r, c) for r in range(4) for c in range(6)}


def test_several_pixels_are_found_one_after_the_other() -> None:
    """Margins add up: the best position, then the best beside it, and so on until they are enough."""
    gains = np.random.default_rng(1).random((8, 9))
    best = [divmod(int(place), 9) for place in np.argsort(-gains.ravel())[:3]]
    enough = sum(gains[place] for place in best) - 1e-6

    def margin(pixels: NDArray[np.int64]) -> float:
        places = {(row, column) for row, column, value in pixels.tolist() if value == 255}
        return float(enough - sum(gains[place] for place in places))

    search = sweep_of((1, 8, 9), 3)
    asked = swept(search, margin)
    fooling = [pixels for pixels in asked if margin(np.array(pixels)) < 0]
    assert {(row, column) for row, column, _ in fooling[0]} == set(best)
    assert len(asked) == 2 * (72 + 71 + 70)
    assert all(len(set(pixels)) == 1 for pixels in asked[:144]), "one pixel, as often as there are entries"
    found = search.map_of(0)
    assert found is not None
    assert found.asked.sum() == 144, "the map is of single pixels"
    assert not found.fooled.any()


def test_no_sweep_follows_one_that_met_the_goal() -> None:
    search = sweep_of((1, 8, 8), 3)
    assert len(swept(search, bowl(2, 2))) == 128


def test_a_small_budget_is_shared_by_the_sweeps_or_leaves_pixels_out() -> None:
    asked = swept(sweep_of((1, 8, 8), 2, budget=100), lambda pixels: 1.0 + pixels[-1, 0], most=100)
    assert len(asked) == 100
    assert [len(set(pixels)) for pixels in asked] == [1] * 50 + [2] * 50
    # 16 cells of two colours to begin with: 50 questions are enough for one sweep only.
    asked = swept(sweep_of((1, 8, 8), 40, budget=50), lambda pixels: 1.0, most=50)
    assert [len(set(pixels)) for pixels in asked] == [1] * 50


def test_places_do_not_see_each_other() -> None:
    search = Sweep(3, (1, 8, 8), 1, palette=corners(1), budget=128)
    search.start(0, "0" * 32)
    search.start(2, "1" * 32)
    turns = 0
    while not search.exhausted(0):
        found = search.ask(np.array([64, 64, 5]))
        turns += 2 in found.places
        assert set(found.places.tolist()) <= {0, 2}
        margins = np.where(found.places == 0, 1.0, 2.0)
        search.tell(margins)
        search.told_hits(found.places == 2)
    first, none, third = search.map_of(0), search.map_of(1), search.map_of(2)
    assert first is not None
    assert third is not None
    assert none is None
    assert (first.asked.sum(), first.fooled.sum()) == (128, 0)
    assert third.asked.sum() == third.fooled.sum()
    assert 4 * turns < third.asked.sum() <= 5 * turns
    assert third.margin is not None
    assert np.isnan(third.margin).sum() == (third.asked == 0).sum() > 0


@pytest.mark.parametrize("shape", [(3, 227, 227), (3, 32, 32), (1, 8, 40), (1, 9, 13)])
def test_the_first_questions_lie_all_over_the_image(shape: tuple[int, int, int]) -> None:
    """A sweep that ends within its first cells is not to have seen a few rows alone."""
    search = Sweep(1, shape, 1, palette=corners(shape[0]), budget=10**6)
    search.start(0, "00" * 16)
    _, height, width = shape
    seen: set[tuple[int, int]] = set()
    while len(seen) < 16:
        edits = search.ask(np.array([len(corners(shape[0]))])).edits
        seen |= set(zip(edits.rows[:, 0].tolist(), edits.columns[:, 0].tolist(), strict=True))
        search.tell(np.ones(len(edits)))
    quarters = {(2 * row // height, 2 * column // width) for row, column in seen}
    assert quarters == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert {4 * row // height for row, _ in seen} == {0, 1, 2, 3} or height < 16
