"""The paper's differential evolution, and random search, as ask/tell objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinprick.search.base import ASK, Search
from pinprick.search.differential_evolution import DifferentialEvolution, distinct_triples
from pinprick.search.random_search import RandomSearch
from pinprick.search.start import draw_pixels, into_box, rounded
from pinprick.streams import generator

SHAPE = (3, 9, 12)
SEEDS = [f"{number:032x}" for number in range(1, 6)]


def target_fitness(colours: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A smooth landscape with its best at row 4, column 7, colour (200, 30, 90)."""
    place = (rows - 4.0) ** 2 + (columns - 7.0) ** 2
    colour = ((colours.astype(float) - (200, 30, 90)) ** 2).sum(axis=-1)
    result: np.ndarray = (place * 100 + colour).sum(axis=-1)
    return result


def drive(search: Search, seeds: list[str], *, generations: int = 1000) -> dict[str, list[bytes]]:
    """Run searches for ``seeds`` to their end on as many places as there are; everything each of them asked."""
    waiting = list(seeds)
    on_place: dict[int, str] = {}
    asked: dict[str, list[bytes]] = {seed: [] for seed in seeds}
    for _ in range(generations):
        for place in range(search.places):
            if place not in on_place and waiting:
                on_place[place] = waiting.pop(0)
                search.start(place, on_place[place])
        if not on_place:
            break
        limits = np.array([1000 if place in on_place else 0 for place in range(search.places)])
        found = search.ask(limits)
        edits = found.edits
        for row, place in enumerate(found.places.tolist()):
            text = edits.rows[row].tobytes() + edits.columns[row].tobytes() + edits.colours[row].tobytes()
            asked[on_place[place]].append(text)
        search.tell(target_fitness(edits.colours, edits.rows, edits.columns))
        for place in list(on_place):
            if search.exhausted(place):
                del on_place[place]
    return asked


def evolution(places: int, pixels: int = 1) -> DifferentialEvolution:
    return DifferentialEvolution(places, SHAPE, pixels, population=70, generations=6)


@given(st.permutations(SEEDS), st.integers(1, 6), st.sampled_from([1, 3]))
@settings(max_examples=15, deadline=None)
def test_a_search_asks_the_same_on_any_place_beside_any_others(order: list[str], places: int, pixels: int) -> None:
    alone = {seed: drive(evolution(1, pixels), [seed])[seed] for seed in SEEDS}
    assert drive(evolution(places, pixels), order) == alone
    assert all(len(asked) == 70 * 7 for asked in alone.values())


@given(st.integers(4, 60), st.integers(0, 2**32 - 1))
def test_triples_are_distinct_and_in_range(n: int, seed: int) -> None:
    triples = np.stack(distinct_triples(np.random.default_rng(seed), n))
    assert triples.min() >= 0
    assert triples.max() < n
    assert all(len(set(triple)) == 3 for triple in triples.T.tolist())


def test_triples_are_uniform() -> None:
    rng = np.random.default_rng(0)
    triples = np.concatenate([np.stack(distinct_triples(rng, 5), axis=1) for _ in range(12_000)])
    _, counts = np.unique(triples @ (25, 5, 1), return_counts=True)
    assert len(counts) == 60
    assert abs(counts - 1000).max() < 150


def test_children_are_the_papers_and_compete_with_their_own_parent() -> None:
    """Recomputed from the formula, one generation on, for every member."""
    search = evolution(1)
    search.start(0, SEEDS[0])
    start, colours = draw_pixels(generator(SEEDS[0], 0), 70, 1, SHAPE)
    colours = np.clip(colours, 0, 255)
    fitness: dict[int, np.ndarray] = {}
    for _ in range(4):
        asked = search.ask(np.array([1000]))
        if search.generation[0] == 0:
            values = target_fitness(asked.edits.colours, asked.edits.rows, asked.edits.columns)
            fitness[0] = np.concatenate([fitness.get(0, np.zeros(0)), values])
        else:
            break
        search.tell(values)
    r1, r2, r3 = distinct_triples(generator(SEEDS[0], 1), 70)
    moved = colours[r1] + 0.5 * (colours[r2] - colours[r3])
    assert np.array_equal(search.new_colours[0], np.clip(moved, 0, 255))
    assert np.array_equal(search.colours[0], colours)
    places = start[r1] + 0.5 * (start[r2] - start[r3])
    inside = ((places >= 0) & (places < (9, 12))).all(axis=(1, 2))
    assert inside.any()
    assert np.array_equal(search.new_positions[0][inside], places[inside])
    # The second generation keeps, member by member, the fitter of parent and child.
    before = search.fitness[0].copy()
    search.tell(np.zeros(len(asked.edits)))
    while search.generation[0] == 1:
        asked = search.ask(np.array([1000]))
        search.tell(np.full(len(asked.edits), 1e9))
    assert np.array_equal(search.fitness[0], np.where(np.arange(70) < ASK, 0, before))


def test_it_finds_what_there_is_to_find() -> None:
    search = DifferentialEvolution(1, SHAPE, 1, population=100, generations=60)
    search.start(0, SEEDS[1])
    while not search.exhausted(0):
        asked = search.ask(np.array([1000])).edits
        search.tell(target_fitness(asked.colours, asked.rows, asked.columns))
    best = int(search.fitness[0].argmin())
    rows, columns, colours = rounded(search.positions[0, best], search.colours[0, best], SHAPE)
    assert (rows[0], columns[0]) == (4, 7)
    assert np.abs(colours[0] - (200, 30, 90)).max() <= 3


def test_limits_cut_a_generation_short_and_are_kept() -> None:
    search = evolution(3)
    for place in (0, 2):
        search.start(place, SEEDS[place])
    asked = search.ask(np.array([5, 0, 1000]))
    assert np.bincount(asked.places, minlength=3).tolist() == [5, 0, ASK]


@pytest.mark.parametrize("bounds", ["clip", "reflect", "resample"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_whatever_leaves_the_box_comes_back(bounds: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1000, (50, 2))
    high = np.nextafter(np.array([9.0, 12.0]), 0)
    fresh = rng.random((50, 2)) * (9, 12)
    held = into_box(values, np.zeros(2), high, bounds, fresh)  # type: ignore[arg-type]
    assert ((held >= 0) & (held < (9, 12))).all()
    inside = (values >= 0) & (values <= high)
    assert np.array_equal(held[inside], values[inside])


def test_the_start_is_the_papers_distribution() -> None:
    positions, colours = draw_pixels(np.random.default_rng(0), 20_000, 1, SHAPE)
    assert np.allclose(positions.mean(axis=(0, 1)), (4.5, 6), atol=0.1)
    assert abs(colours.mean() - 128) < 2
    assert abs(colours.std() - 127) < 2
    rows, columns, rounded_colours = rounded(positions, colours, SHAPE)
    assert sorted(set(rows.ravel().tolist())) == list(range(9))
    assert sorted(set(columns.ravel().tolist())) == list(range(12))
    # Both ends of the 8-bit range are tried often: about 16 % of a normal lies beyond each.
    assert (rounded_colours == 255).mean() > 0.1
    assert (rounded_colours == 0).mean() > 0.1


def test_random_search_draws_anew_and_the_same_on_any_place() -> None:
    def first(places: int, place: int) -> bytes:
        search = RandomSearch(places, SHAPE, 2)
        search.start(place, SEEDS[0])
        blocks = []
        for _ in range(3):
            asked = search.ask(np.where(np.arange(places) == place, 50, 0))
            blocks.append(asked.edits.rows.tobytes() + asked.edits.colours.tobytes())
        assert len(set(blocks)) == 3
        return b"".join(blocks)

    assert first(1, 0) == first(4, 2)
