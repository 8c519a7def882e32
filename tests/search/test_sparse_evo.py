"""SparseEvo as a search: from where it starts, what it takes back, and what that leads to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pinprick.edits import Edits
from pinprick.search.sparse_evo import REPEATS, STEPS, SparseEvo
from tests.conftest import random_images

SEED = f"{7:032x}"
Told = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
"""Of images ``(N, C, H, W)`` which meet the goal."""


def search_on(
    image: NDArray[np.uint8], told: Told, questions: int, starts: NDArray[np.uint8] | None = None, **how: float
) -> tuple[list[NDArray[np.uint8]], list[bool]]:
    """The images that a search asks one after the other, and which of them meet the goal."""
    search = SparseEvo(1, image.shape, 5, **how)  # type: ignore[arg-type]
    search.look(0, image, starts)
    search.start(0, SEED)
    images: list[NDArray[np.uint8]] = []
    hits: list[bool] = []
    while len(images) < questions and not search.exhausted(0):
        edits = search.ask(np.array([1])).edits
        images.append(edits.apply(image[None])[0])
        hit = told(images[-1][None])
        search.tell(np.where(hit, 0.0, 1.0))
        search.told_hits(hit)
        hits += hit.tolist()
    return images, hits


def changed(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int((image != other).any(axis=0).sum())


def white_among(shape: tuple[int, int, int], known: int, needed: int) -> Told:
    """The goal is met once ``needed`` of ``known`` pixels are white: each smallest set has ``needed`` pixels."""
    places = np.random.default_rng(1).permutation(shape[1] * shape[2])[:known]
    rows, columns = np.divmod(places, shape[2])
    return lambda images: (images[:, :, rows, columns] == 255).all(axis=1).sum(axis=1) >= needed


def test_noise_grows_denser_until_it_fools_and_then_pixels_are_taken_back() -> None:
    shape = (3, 12, 10)
    image = random_images(1, shape)[0] // 2
    images, hits = search_on(image, white_among(shape, 40, 5), 3000)
    first = hits.index(True)
    assert 0 < first < STEPS
    counts = [changed(image, one) for one in images]
    # Salt and pepper: what differs is white or black in all channels, and there is more and more of it.
    for one in images[: first + 1]:
        differs = (one != image).any(axis=0)
        assert np.isin(one[:, differs], (0, 255)).all()
        assert (one[:, differs] == one[:1, differs]).all()
    assert np.mean(counts[:first]) < counts[first] * 1.5
    fooling = [count for count, hit in zip(counts, hits, strict=True) if hit]
    assert min(fooling) == 5
    # Nothing is asked that takes back nothing.
    assert max(counts[STEPS * REPEATS :]) <= max(fooling)


def test_every_child_is_part_of_an_image_to_start_from() -> None:
    shape = (1, 12, 10)
    image = random_images(1, shape)[0] // 2
    start = 255 - image
    images, hits = search_on(image, white_among_start(image, 3), 400, start[None])
    assert hits[0]
    assert np.array_equal(images[0], start)
    for one in images:
        assert ((one == image) | (one == start)).all()
    assert min(changed(image, one) for one, hit in zip(images, hits, strict=True) if hit) == 3


def white_among_start(image: NDArray[np.uint8], needed: int) -> Told:
    """The goal is met where so many of the first ten pixels differ from those of ``image``."""
    return lambda images: (images != image).any(axis=1).reshape(len(images), -1)[:, :10].sum(axis=1) >= needed


def test_starts_are_asked_in_their_order_until_one_meets_the_goal_and_noise_follows_where_none_does() -> None:
    shape = (1, 9, 9)
    image = np.full(shape, 100, np.uint8)
    starts = np.stack([np.full(shape, value, np.uint8) for value in (10, 20, 30, 40)])
    images, hits = search_on(image, lambda images: (images == 30).sum(axis=(1, 2, 3)) >= 2, 200, starts)
    assert hits[:3] == [False, False, True]
    assert [int(one[0, 0, 0]) for one in images[:3]] == [10, 20, 30]
    assert not any((one == 40).any() for one in images)
    images, hits = search_on(image, lambda images: (images == 255).sum(axis=(1, 2, 3)) >= 2, 500, starts)
    assert hits[:4] == [False] * 4
    assert min(changed(image, one) for one, hit in zip(images, hits, strict=True) if hit) == 2


def test_it_ends_with_one_pixel_and_only_then() -> None:
    shape = (1, 8, 8)
    image = np.full(shape, 100, np.uint8)
    images, hits = search_on(image, white_among(shape, 6, 1), 5000)
    assert len(images) < 5000
    assert changed(image, images[-1]) == 1
    assert hits[-1]
    assert len(search_on(image, white_among(shape, 6, 2), 1500)[0]) == 1500


def test_where_every_pixel_is_needed_the_start_itself_is_kept() -> None:
    image = np.full((1, 8, 8), 100, np.uint8)
    start = image.copy()
    start[0, 0, :3] = 255
    images, hits = search_on(image, lambda images: (images == 255).sum(axis=(1, 2, 3)) >= 3, 300, start[None])
    assert [changed(image, one) for one, hit in zip(images, hits, strict=True) if hit] == [3]


def test_a_greater_share_of_mutation_takes_back_more_pixels_at_once() -> None:
    shape = (1, 16, 16)
    image = np.full(shape, 100, np.uint8)
    start = np.full((1, *shape), 255, np.uint8)

    def steps(mutation: float) -> int:
        images, hits = search_on(image, white_among(shape, 20, 3), 4000, start, mutation=mutation)
        best = [changed(image, one) for one, hit in zip(images, hits, strict=True) if hit]
        return next(number for number, count in enumerate(best) if count <= 60)

    assert steps(0.2) < steps(0.01)


def test_of_a_large_image_only_what_differs_is_listed() -> None:
    shape = (3, 224, 224)
    image = random_images(1, shape)[0]
    search = SparseEvo(1, shape, 100)
    search.look(0, image, None)
    search.start(0, SEED)
    for _ in range(5):
        edits: Edits = search.ask(np.array([1])).edits
        assert edits.count is not None
        assert edits.pixels == edits.count[0] == edits.changed(image[None])[0] < 6 * 224 * 224 / (STEPS - 1)
        search.told_hits(np.array([False]))


def test_masks_are_of_the_best_noise_and_not_of_the_last() -> None:
    image = np.full((1, 12, 12), 100, np.uint8)
    images, hits = search_on(image, white_among(image.shape, 30, 4), 600)
    fooling = [one for one, hit in zip(images, hits, strict=True) if hit]
    start = min(fooling[:REPEATS], key=lambda one: changed(image, one))
    for one in fooling[REPEATS:]:
        assert ((one == image) | (one == start)).all()


def test_a_start_of_one_pixel_is_the_end_and_the_image_itself_is_never_asked() -> None:
    image = np.full((1, 8, 8), 100, np.uint8)
    images, hits = search_on(image, lambda images: (images != 100).any(axis=(1, 2, 3)), 50)
    assert hits[-1]
    assert min(changed(image, one) for one in images) >= 1
    start = image.copy()
    start[0, 3, 3] = 0
    assert search_on(image, lambda images: (images != 100).any(axis=(1, 2, 3)), 50, start[None])[1] == [True]
