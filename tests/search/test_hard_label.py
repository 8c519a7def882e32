"""Our search by labels alone: what it asks, planted minima, what it learns, and that its course is one course."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinprick.search.colours import corners
from pinprick.search.hard_label import HardLabel, Pixels, Strengths
from tests.conftest import random_images
from tests.search.test_sparse_evo import changed, white_among, white_among_start

SEED = f"{7:032x}"
Told = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]


def search_on(
    image: NDArray[np.uint8],
    told: Told,
    questions: int,
    starts: NDArray[np.uint8] | None = None,
    *,
    at_a_time: int = 64,
    seed: str = SEED,
) -> tuple[list[NDArray[np.uint8]], list[bool]]:
    """The images that a search asks one after the other, and which of them meet the goal."""
    search = HardLabel(1, image.shape, 5)
    search.look(0, image, starts)
    search.start(0, seed)
    images: list[NDArray[np.uint8]] = []
    hits: list[bool] = []
    while len(images) < questions and not search.exhausted(0):
        edits = search.ask(np.array([min(at_a_time, questions - len(images))])).edits
        asked = edits.apply(np.repeat(image[None], len(edits), axis=0))
        found = told(asked)
        search.tell(np.where(found, 0.0, 1.0))
        search.told_hits(found)
        images += list(asked)
        hits += found.tolist()
    return images, hits


def fewest(image: NDArray[np.uint8], images: list[NDArray[np.uint8]], hits: list[bool]) -> int:
    return min(changed(image, one) for one, hit in zip(images, hits, strict=True) if hit)


@pytest.mark.parametrize(("shape", "known", "needed"), [((1, 12, 9), 20, 3), ((3, 9, 12), 40, 6), ((3, 20, 14), 30, 1)])
def test_planted_minima_are_found(shape: tuple[int, int, int], known: int, needed: int) -> None:
    image = random_images(1, shape)[0] // 2
    assert fewest(image, *search_on(image, white_among(shape, known, needed), 2500)) == needed


def test_needless_parts_go_at_once_and_not_pixel_by_pixel() -> None:
    shape = (1, 32, 32)
    image = np.full(shape, 100, np.uint8)
    start = np.full((1, *shape), 255, np.uint8)

    def told(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray((images[:, 0, 20, 10:13] == 255).all(axis=1))

    images, hits = search_on(image, told, 5000, start)
    counts = [changed(image, one) if hit else 9999 for one, hit in zip(images, hits, strict=True)]
    assert counts[0] == 1024
    assert min(counts[:120]) == 3


def test_from_a_start_of_weak_pixels_it_gets_to_fewer_strong_ones() -> None:
    """Of the start ten pixels are needed, of white ones two: leaving out alone could not find these."""
    shape = (1, 14, 14)
    image = np.full(shape, 100, np.uint8)
    start = np.full((1, *shape), 120, np.uint8)
    strong = np.zeros((14, 14), bool)
    strong[4:7, 4:8] = True

    def told(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        worth = (images[:, 0] == 120) * 1.0 + ((images[:, 0] == 255) & strong) * 5.0
        return np.asarray(worth.sum(axis=(1, 2)) >= 10)

    images, hits = search_on(image, told, 3000, start)
    assert fewest(image, images, hits) == 2


def test_it_ends_with_one_pixel_that_brute_force_finds_too() -> None:
    """A gray image that few changes of one pixel fool: in black or white, by brute force."""
    shape = (1, 8, 8)
    image = random_images(1, shape)[0] // 2 + 50
    weights = np.random.default_rng(2).normal(size=64)
    every = np.repeat(image[None], 128, axis=0)
    for number, (place, value) in enumerate(product(range(64), (0, 255))):
        every[number].reshape(64)[place] = value
    reached = every.reshape(128, 64) @ weights
    bound = np.sort(reached)[-3]

    def told(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray(images.reshape(len(images), 64) @ weights >= bound)

    assert not told(image[None])[0]
    images, hits = search_on(image, told, 4000)
    assert len(images) < 4000
    assert fewest(image, images, hits) == 1
    chosen = next(one for one, hit in zip(images, hits, strict=True) if hit and changed(image, one) == 1)
    assert any(np.array_equal(chosen, one) for one in every[reached >= bound])


def test_starts_come_first_and_random_sets_where_none_fools() -> None:
    image = np.full((1, 12, 10), 100, np.uint8)
    starts = np.stack([np.full((1, 12, 10), value, np.uint8) for value in (101, 102)])
    images, _ = search_on(image, lambda images: np.zeros(len(images), bool), 200, starts)
    assert [int(one[0, 0, 0]) for one in images[:2]] == [101, 102]
    counts = [changed(image, one) for one in images[2:]]
    assert counts[:4] == [1, 2, 3, 4]
    assert max(counts) == 120
    assert all(np.isin(one[one != 100], (0, 255)).all() for one in images[2:])
    images, hits = search_on(image, white_among_start(image, 3), 600, starts)
    assert hits[0]
    assert fewest(image, images, hits) == 3


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 5, 64]), st.integers(1, 400))
@settings(max_examples=15, deadline=None)
def test_how_many_are_asked_at_a_time_and_the_budget_change_nothing(seed: int, at_a_time: int, questions: int) -> None:
    shape = (3, 9, 12)
    image = random_images(1, shape, seed)[0]
    told = white_among(shape, 25, 1 + seed % 5)
    whole = search_on(image, told, 400, seed=f"{seed:032x}")[0]
    part = search_on(image, told, questions, at_a_time=at_a_time, seed=f"{seed:032x}")[0]
    assert len(part) == min(questions, len(whole))
    assert all(np.array_equal(one, other) for one, other in zip(part, whole, strict=False))


def test_no_candidate_sets_a_pixel_twice_or_to_its_own_colour() -> None:
    shape = (1, 9, 12)
    image = np.where(random_images(1, shape)[0] < 128, 0, 255).astype(np.uint8)
    search = HardLabel(1, shape, 5)
    search.look(0, image, None)
    search.start(0, SEED)
    told = white_among(shape, 30, 3)
    for _ in range(60):
        if search.exhausted(0):
            break
        edits = search.ask(np.array([64])).edits
        bases = np.repeat(image[None], len(edits), axis=0)
        assert edits.count is not None
        assert edits.changed(bases).tolist() == edits.count.tolist()
        hits = told(edits.apply(bases))
        search.told_hits(hits)


def test_what_did_well_is_drawn_more_often_and_so_is_what_is_near_it() -> None:
    strengths = Strengths(corners(3), 32, 32)
    assert strengths.size == 1
    draws = np.random.default_rng(0)

    def share() -> float:
        places = [divmod(strengths.draw(draws)[0], 32) for _ in range(300)]
        return float(np.mean([max(abs(row - 10), abs(column - 20)) <= 3 for row, column in places]))

    before = share()
    for _ in range(10):
        strengths.note(10 * 32 + 20, 7, 3.0, 1.0)
    assert share() > 3 * before
    for row, column in product(range(5, 16), range(15, 26)):
        for colour in range(8):
            strengths.note(row * 32 + column, colour, 0.0, 3.0)
    assert share() < before * 3


def test_large_images_share_cells() -> None:
    strengths = Strengths(corners(3), 224, 200)
    assert strengths.size == 7
    assert strengths.successes.shape == (8, 32, 29)
    draws = np.random.default_rng(0)
    drawn = [strengths.draw(draws) for _ in range(200)]
    assert max(where for where, _ in drawn) < 224 * 200
    strengths.note(224 * 200 - 1, 0, 1.0, 1.0)
    assert strengths.successes[0, -1, -1] == strengths.successes.max()


def test_pixels_are_sets() -> None:
    one = Pixels(np.array([3, 5, 7]), np.array([[1], [2], [3]], np.uint8))
    other = Pixels(np.array([5, 9]), np.array([[8], [9]], np.uint8))
    assert one.plus(other).where.tolist() == [3, 7, 5, 9]
    assert one.plus(other).colours.ravel().tolist() == [1, 3, 8, 9]
    assert one.without(np.array([0, 2])).where.tolist() == [5]
    assert len(one.take(np.array([True, False, True]))) == 2
